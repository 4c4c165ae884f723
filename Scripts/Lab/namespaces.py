"""Network namespaces of one lab, the links between them, and the duty to take all of it away.

Nothing of it is connected to this machine's own network: the only links are between namespaces.
"""
import ctypes
import os
import shutil
import subprocess
import sys
import tempfile

# Whatever was started carries this variable; its value is the lab's folder and a slash.
MARK = "HOLDFAST_LAB_PLACE"

# Processes first, so that nobody mounts again; then mounts, the youngest first; namespaces, and
# files last, never across into what is still mounted.
CLEAR = f"""
folder="$1" prefix="$2"
mounted() {{
    awk -v under="$folder/" 'index($5, under) == 1 {{ print $5 }}' /proc/self/mountinfo | tac
}}
for process in $(grep -lzF "{MARK}=$folder/" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3); do
    kill -9 "$process" 2>/dev/null
done
mounted | while read -r point; do
    fusermount3 -uz "$point" 2>/dev/null || umount -l "$point" 2>/dev/null
done
for name in $(ip netns list | cut -d' ' -f1); do
    case "$name" in "$prefix"-*) ip netns del "$name" 2>/dev/null ;; esac
done
[ -n "$(mounted)" ] || rm -rf --one-file-system "$folder"
"""

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


class NotAllowed(Exception):
    """Namespaces or nftables cannot be had here; says what is missing."""


def run(*words, **options):
    done = subprocess.run(words, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


class Namespace:
    """Used with `with`: the sockets that this thread makes meanwhile are the namespace's."""

    def __init__(self, name, short):
        self.name = name
        self.short = short

    def ip(self, *words):
        run("ip", "-n", self.name, *words)

    def nft(self, rules):
        run("nsenter", f"--net={self.path}", "nft", "-f", "-", input=rules)

    def set(self, key, value):
        with self, open("/proc/sys/net/" + key, "w") as file:
            file.write(str(value))

    def __enter__(self):
        self.outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        inside = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            enter(inside)
        finally:
            os.close(inside)

    def __exit__(self, *error):
        enter(self.outside)
        os.close(self.outside)

    @property
    def path(self):
        return "/run/netns/" + self.name

    def command(self, *words):
        """The words that run a program in here; the program has the process id of their process.

        `ip netns exec` would hide its mounts from everybody else.
        """
        return ["nsenter", f"--net={self.path}", *words]


def enter(descriptor):
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"entering a namespace: {os.strerror(code)}")


class Place:
    """A folder and the namespaces of one lab; used with `with`."""

    def __init__(self, parent, keeps):
        self.keeps = keeps
        self.prefix = f"holdfast{os.getpid()}"
        self.folder = tempfile.mkdtemp(prefix="holdfast-lab.", dir=parent)
        self.plain = {key: value for key, value in os.environ.items() if key != MARK}
        self.environment = {
            key: value for key, value in self.plain.items() if not key.startswith("HOLDFAST_")}
        self.environment[MARK] = self.folder + "/"
        self.namespaces = []
        # A shell that clears up once this process is gone, however it went: the kernel then closes
        # the pipe that the shell waits for.
        self.watch = None
        if not keeps:
            self.watch = subprocess.Popen(
                ["/bin/sh", "-c", "cat >/dev/null; " + CLEAR, "sh", self.folder, self.prefix],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                env=self.plain, cwd="/", start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.keeps:
            print(f"lab: kept: {self.folder}, and namespaces {self.prefix}-*; to end it:")
            print(f"  Scripts/lab --clear {self.folder} {self.prefix}")
            return
        self.watch.stdin.close()
        self.watch.wait()
        left = [one.name for one in self.namespaces if os.path.exists(one.path)]
        if os.path.exists(self.folder) or left:
            print(f"lab: could not be cleared away: {self.folder} {left}", file=sys.stderr)

    def namespace(self, short):
        one = Namespace(f"{self.prefix}-{short}", short)
        try:
            run("ip", "netns", "add", one.name)
        except RuntimeError as error:
            raise NotAllowed(f"this machine gives no network namespaces ({error})") from error
        self.namespaces.append(one)
        one.ip("link", "set", "lo", "up")
        for key in ("all", "default"):
            one.set(f"ipv4/conf/{key}/rp_filter", 0)
        return one

    def remove(self, one):
        self.namespaces.remove(one)
        run("ip", "netns", "del", one.name)

    def path(self, *names):
        return os.path.join(self.folder, *names)


def clear(folder, prefix):
    """Takes away what a lab with `--keep` left."""
    subprocess.run(["/bin/sh", "-c", CLEAR, "sh", folder, prefix], check=True)


def link(one, one_device, other, other_device):
    """A cable between two namespaces."""
    one.ip("link", "add", one_device, "type", "veth", "peer", "name", other_device,
           "netns", other.name)
    one.ip("link", "set", one_device, "up")
    other.ip("link", "set", other_device, "up")


def check():
    """Throws `NotAllowed` unless namespaces and nftables work here."""
    if os.geteuid() != 0:
        raise NotAllowed("network namespaces need root")
    missing = [name for name in ("ip", "nft", "nsenter") if shutil.which(name) is None]
    if missing:
        raise NotAllowed(f"{', '.join(missing)} not found")
    tried = subprocess.run(
        ["unshare", "--net", "nft", "add", "table", "ip", "tried"], stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True)
    if tried.returncode != 0:
        raise NotAllowed(f"nftables in a namespace: {tried.stderr.strip()}")
