//! Memory available to this process, and memory in use by it.

use std::fs;
use std::path::{Path, PathBuf};

/// Bytes available to this process: the machine's memory, or the limit of its control group (cgroup) if that is
/// lower. `None` if the system does not say.
pub(super) fn memory() -> Option<u64> {
    let physical = field(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")?;
    let group = fs::read_to_string("/proc/self/cgroup").ok();
    let group = group.and_then(|text| of_group(&text, Path::new("/sys/fs/cgroup")));
    Some(group.map_or(physical, |group| group.min(physical)))
}

/// Bytes of memory that this process uses now (resident set size).
pub(super) fn resident() -> Option<u64> {
    field(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// The bytes in a line such as `MemTotal: 1024 kB`.
fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The lowest limit among the process's control group and its parents. `text` is `/proc/self/cgroup`, `root` the
/// mount point of the groups.
fn of_group(text: &str, root: &Path) -> Option<u64> {
    let limits = text.lines().flat_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let controllers = parts.next().unwrap_or("");
        let path = parts.next().unwrap_or("");
        match controllers {
            "" => limits(root, path, "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                limits(&root.join("memory"), path, "memory.limit_in_bytes")
            }
            _ => Vec::new(),
        }
    });
    limits.min()
}

/// The limits in files called `name`, from the folder `path` below `root` up to `root`. In a container the path may
/// be outside the mount; the group at the root then is the container's own.
fn limits(root: &Path, path: &str, name: &str) -> Vec<u64> {
    let folder: PathBuf = root.join(path.trim_start_matches('/'));
    let folders = folder.ancestors().take_while(|folder| folder.starts_with(root));
    let read = |folder: &Path| fs::read_to_string(folder.join(name)).ok()?.trim().parse().ok();
    folders.filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel_are_read_in_bytes() {
        let text = "Name:\tx\nVmHWM:\t   20 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!((field(text, "VmRSS:"), field(text, "VmSwap:")), (Some(1 << 20), None));
    }

    #[test]
    fn the_tightest_group_around_the_process_counts() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        fs::write(dir.path().join("a/memory.max"), "1000\n").unwrap();
        fs::write(inner.join("memory.max"), "max\n").unwrap();
        assert_eq!(of_group("0::/a/b\n", dir.path()), Some(1000));
        fs::write(inner.join("memory.max"), "70\n").unwrap();
        assert_eq!(of_group("0::/a/b\n", dir.path()), Some(70));
        assert_eq!(of_group("0::/elsewhere\n", dir.path()), None);
    }

    #[test]
    fn groups_of_the_first_version_are_known_too() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("memory/x")).unwrap();
        fs::write(dir.path().join("memory/x/memory.limit_in_bytes"), "55").unwrap();
        assert_eq!(of_group("7:cpu,memory:/x\n3:pids:/y\n", dir.path()), Some(55));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_takes_less_than_the_machine_has() {
        let all = memory().unwrap();
        let mine = resident().unwrap();
        assert!(0 < mine && mine < all, "{mine} of {all}");
    }
}
