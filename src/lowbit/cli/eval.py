"""``lowbit eval``"""
def command() -> None:
    """x"""
