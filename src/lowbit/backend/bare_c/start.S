/* From reset to main: one core, exception level 1, floating point on, memory mapped, a stack, zeroed variables. */
    .section .text.start, "ax"
    .global _start
_start:
    mrs     x0, mpidr_el1
    tst     x0, #0xff               /* core 0 goes on */
    b.eq    first_core
park:
    wfe
    b       park

first_core:
    mrs     x0, CurrentEL           /* bits 3:2; the Pi starts at level 3, "virt" at level 1 */
    cmp     x0, #(2 << 2)
    b.lo    level1
    b.eq    level2
    msr     cptr_el3, xzr           /* floating point is not trapped */
    mov     x0, #0x531              /* SCR: lower levels are 64-bit and not secure, hypervisor calls work */
    msr     scr_el3, x0
    mov     x0, #0x3c9              /* to level 2 with its own stack, interrupts masked */
    msr     spsr_el3, x0
    adr     x0, level2
    msr     elr_el3, x0
    eret
level2:
    mov     x0, #0x33ff             /* CPTR: floating point is not trapped */
    msr     cptr_el2, x0
    mov     x0, #(1 << 31)          /* HCR: level 1 is 64-bit */
    msr     hcr_el2, x0
    ldr     x0, =0x30d00800         /* SCTLR: the bits that are always one; MMU and caches off */
    msr     sctlr_el1, x0
    mov     x0, #0x3c5              /* to level 1 */
    msr     spsr_el2, x0
    adr     x0, level1
    msr     elr_el2, x0
    eret
level1:
    mov     x0, #(3 << 20)          /* CPACR: floating point is not trapped */
    msr     cpacr_el1, x0
    ldr     x0, =vectors
    msr     vbar_el1, x0
    isb
    ldr     x0, =stack_end
    mov     sp, x0
    ldr     x0, =zeroed
    ldr     x1, =zeroed_end
clear:
    cmp     x0, x1
    b.hs    cleared
    stp     xzr, xzr, [x0], #16
    b       clear
cleared:
    bl      map_memory
    bl      main
    b       leave                   /* with main's result */

    .balign 2048
vectors:                            /* every exception is an end */
    .rept   16
    .balign 128
    mrs     x0, esr_el1
    mrs     x1, elr_el1
    mrs     x2, far_el1
    b       fault
    .endr
