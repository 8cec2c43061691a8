/* The first and only process of a whole emulated board: runs /network with the lines of /arguments, hands its files to
 * the host through semihosting, and ends the machine with its exit code (125: it could not be started). */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Arm semihosting, version 3. */
enum { SYS_OPEN = 1, SYS_CLOSE = 2, SYS_WRITE = 5, SYS_EXIT_EXTENDED = 32, WRITE_BINARY = 5, APPLICATION_EXIT = 0x20026 };

static uint64_t host(uint64_t operation, void *block) {
    register uint64_t x0 __asm__("x0") = operation;
    register void *x1 __asm__("x1") = block;
    __asm__ volatile("hlt #0xf000" : "+r"(x0) : "r"(x1) : "memory");
    return x0;
}

static void hand_over(const char *path, const char *name) {
    static char buffer[65536];
    ssize_t got;
    int file = open(path, O_RDONLY);
    if (file < 0) return;
    uint64_t opening[3] = {(uint64_t)(uintptr_t)name, WRITE_BINARY, strlen(name)};
    uint64_t handle = host(SYS_OPEN, opening);
    while ((got = read(file, buffer, sizeof buffer)) > 0) {
        uint64_t writing[3] = {handle, (uint64_t)(uintptr_t)buffer, (uint64_t)got};
        if (host(SYS_WRITE, writing)) break;
    }
    close(file);
    host(SYS_CLOSE, &handle);
}

static void start(void) {
    static char text[65536];
    char *arguments[256] = {"/network"};
    int count = 1, file = open("/arguments", O_RDONLY);
    if (file < 0 || read(file, text, sizeof text - 1) < 0) _exit(125);
    for (char *word = strtok(text, "\n"); word && count < 255; word = strtok(NULL, "\n")) arguments[count++] = word;
    if (!freopen("/report", "w", stdout) || !freopen("/messages", "w", stderr)) _exit(125);
    execv("/network", arguments);
    _exit(125);
}

int main(void) {
    int status = 0;
    mkdir("/proc", 0755);
    mkdir("/sys", 0755);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("sysfs", "/sys", "sysfs", 0, NULL);
    pid_t child = fork();
    if (child == 0) start();
    waitpid(child, &status, 0);
    hand_over("/report", "report");
    hand_over("/messages", "messages");
    hand_over("/proc/device-tree/model", "model");
    hand_over("/output", "output");
    for (char name[] = "/output.1"; name[8] <= '9'; name[8]++) hand_over(name, name + 1);
    uint64_t ending[2] = {APPLICATION_EXIT, WIFEXITED(status) ? (uint64_t)WEXITSTATUS(status) : 128 + (uint64_t)WTERMSIG(status)};
    host(SYS_EXIT_EXTENDED, ending);
    for (;;) pause();
}
