"""Which symbols are everyday: those most programs use. They are taught most often and never held out.

A table, not a measurement. Knows names only.
"""

from __future__ import annotations

_TABLE = """
bisect *
builtins * -BaseExceptionGroup -GeneratorExit -StopAsyncIteration -aiter -anext -memoryview
    dict *
    float fromhex hex is_integer
    int bit_count bit_length from_bytes to_bytes
    list *
    set *
    str *
    tuple *
collections *
    collections.Counter *
    collections.deque * -maxlen
copy *
csv DictReader DictWriter reader writer Sniffer field_size_limit
datetime date datetime time timedelta timezone
    datetime.date ctime fromisoformat fromtimestamp isocalendar isoformat isoweekday replace strftime today
    datetime.date weekday
    datetime.datetime combine ctime date fromisoformat fromtimestamp isoformat now replace strftime strptime
    datetime.datetime time timestamp timetuple utcnow
    datetime.timedelta total_seconds
fnmatch *
functools *
glob *
heapq *
itertools *
json *
math *
operator attrgetter itemgetter methodcaller
os access chdir chmod close cpu_count getcwd getenv getlogin getpid getppid kill link listdir makedirs mkdir
os open readlink remove removedirs rename renames replace rmdir scandir stat symlink system truncate uname
os unlink urandom utime walk
os.path *
pathlib Path PurePath
    pathlib.Path * -hardlink_to -is_block_device -is_char_device -is_fifo -is_mount -is_socket -lchmod
    pathlib.Path -link_to
    pathlib.PurePath * -is_reserved
pprint pformat pp pprint
random Random SystemRandom choice choices expovariate gauss getrandbits getstate normalvariate randbytes
random randint random randrange sample seed setstate shuffle triangular uniform
re Match Pattern compile escape findall finditer fullmatch match purge search split sub subn
    re.Match end expand group groupdict groups span start
    re.Pattern findall finditer fullmatch match search split sub subn
shutil *
statistics *
string *
subprocess CompletedProcess Popen TimeoutExpired call check_call check_output getoutput getstatusoutput
subprocess run
sys exc_info excepthook exception exit getdefaultencoding getfilesystemencoding getrecursionlimit
sys getrefcount getsizeof intern setrecursionlimit
tempfile NamedTemporaryFile SpooledTemporaryFile TemporaryDirectory TemporaryFile gettempdir mkdtemp mkstemp
textwrap *
time asctime ctime gmtime localtime mktime monotonic perf_counter process_time sleep strftime strptime
time struct_time time time_ns
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
