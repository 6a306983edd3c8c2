"""Which symbols are everyday: those most programs use. They are taught most often and never held out.

A table, not a measurement. Knows names only.
"""

from __future__ import annotations

_TABLE = """
builtins abs all any ascii bin bool breakpoint bytearray bytes callable chr classmethod compile complex delattr
builtins dict dir divmod enumerate eval exec filter float format frozenset getattr globals hasattr hash hex id
builtins input int isinstance issubclass iter len list locals map max min next object oct open ord pow print
builtins property range repr reversed round set setattr slice sorted staticmethod str sum super tuple type vars zip
    dict *
    list *
    set add clear copy difference discard intersection isdisjoint issubset issuperset pop remove
    set symmetric_difference union update
    str capitalize casefold center count encode endswith expandtabs find format index isalnum isalpha isascii
    str isdecimal isdigit islower isspace istitle isupper join ljust lower lstrip partition removeprefix
    str removesuffix replace rfind rindex rjust rpartition rsplit rstrip split splitlines startswith strip
    str swapcase title translate upper zfill
collections *
copy *
datetime date datetime time timedelta timezone
functools cache cached_property lru_cache partial reduce singledispatch total_ordering update_wrapper wraps
glob *
itertools *
json *
math acos asin atan atan2 ceil comb copysign cos degrees dist exp fabs factorial floor fmod fsum gcd hypot
math isclose isfinite isinf isnan isqrt lcm log log10 log2 perm pow prod radians remainder sin sqrt tan trunc
os access chdir chmod cpu_count getcwd getenv getpid kill link listdir makedirs mkdir open remove removedirs
os rename renames replace rmdir scandir stat symlink system truncate unlink urandom walk
os.path *
pathlib Path PurePath
    pathlib.Path * -hardlink_to -is_block_device -is_char_device -is_fifo -is_mount -is_socket -lchmod
    pathlib.Path -link_to
    pathlib.PurePath * -is_reserved
pprint pformat pp pprint
random choice choices gauss randbytes randint random randrange sample seed shuffle uniform
re Match Pattern compile escape findall finditer fullmatch match purge search split sub subn
shutil *
subprocess CompletedProcess Popen call check_call check_output getoutput getstatusoutput run
sys exc_info exit getdefaultencoding getrecursionlimit getrefcount getsizeof intern setrecursionlimit
time asctime ctime gmtime localtime mktime monotonic perf_counter process_time sleep strftime strptime time
"""
"""Module or (indented) class, then its everyday names; `*` is all of them, `-name` not this one."""


def _read_table(text: str) -> dict[str, frozenset[str]]:
    rows: dict[str, set[str]] = {}
    for line in text.strip().splitlines():
        owner, *names = line.split()
        rows.setdefault(owner, set()).update(names)
    return {owner: frozenset(names) for owner, names in rows.items()}


EVERYDAY: dict[str, frozenset[str]] = _read_table(_TABLE)

EVERYDAY_MODULES = frozenset(line.split()[0] for line in _TABLE.splitlines() if line[:1].isalpha())
"""Nothing in these is held out, everyday or not."""


def is_everyday(name: str, kind: str) -> bool:
    """Whether the public symbol `name` (`len`, `str.join`, `shutil`) is everyday; errors are not."""
    if kind == "module":
        return name in EVERYDAY_MODULES
    owner, _, last_name = name.rpartition(".")
    row = EVERYDAY.get(owner or "builtins", frozenset())
    if last_name.endswith(("Error", "Exception", "Warning")) or f"-{last_name}" in row:
        return False
    return last_name in row or "*" in row
