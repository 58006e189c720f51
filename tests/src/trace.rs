//! What a lab leaves on the machine: namespaces, links, processes, mounts and folders.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Everything on this machine that bears `mark`: lines such as `namespace weft-77-1-h1`.
pub fn of(mark: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (what, folder) in [("namespace", "/run/netns"), ("folder", TEMP)] {
        let marked = entries(folder).into_iter().filter(|name| name.contains(mark));
        found.extend(marked.map(|name| format!("{what} {name}")));
    }
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mounts = mounts.lines().filter(|line| line.contains(mark));
    found.extend(mounts.map(|line| format!("mount {line}")));
    found.extend(processes(mark).into_iter().map(|(pid, line)| format!("process {pid} {line}")));
    found
}

/// Links in the machine's own network namespace, where no lab has any business.
pub fn links() -> BTreeSet<String> {
    entries("/sys/class/net").into_iter().map(|name| format!("link {name}")).collect()
}

/// Living processes, other than this one, that have `mark` in their arguments or environment.
pub fn processes(mark: &str) -> Vec<(u32, String)> {
    let pids = entries("/proc").into_iter().filter_map(|name| name.parse().ok());
    pids.filter(|pid| *pid != std::process::id())
        .filter_map(|pid| {
            let read = |file: &str| {
                let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
                String::from_utf8_lossy(&bytes).replace('\0', " ")
            };
            let line = read("cmdline");
            // A zombie has neither arguments nor environment, and is its parent's to bury.
            (line.contains(mark) || read("environ").contains(mark)).then_some((pid, line))
        })
        .collect()
}

/// Whether process `pid` has given up all it had: it is gone, or a zombie.
pub fn is_dead(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Field 2, the name, is in parentheses and may hold some; field 3 is the state.
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}

/// Where labs keep their files.
pub const TEMP: &str = "/tmp";

/// Names in `folder`, in order; none when there is no such folder.
pub fn entries(folder: impl AsRef<Path>) -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir(folder) else { return BTreeSet::new() };
    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
