//! Which process listens on a port, as far as this user may know: from the kernel's tables, without starting a program.

use std::path::Path;

/// The state of a socket that listens, in the kernel's tables.
const LISTENS: &str = "0A";

/// The process that listens on a TCP port of this machine: its number and name. `None` where that cannot be seen, as
/// with a process of another user.
pub(crate) fn of(port: u16) -> Option<String> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| table.lines().filter_map(|line| inode_of(line, port)).collect::<Vec<_>>())
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = std::fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| {
        let number = entry.file_name().to_str()?.parse::<u32>().ok()?;
        Some((number, entry.path()))
    });
    processes.into_iter().find_map(|(number, process)| {
        let opened = std::fs::read_dir(process.join("fd")).ok()?.flatten();
        let mut links = opened.filter_map(|file| std::fs::read_link(file.path()).ok());
        links.any(|link| inodes.iter().any(|inode| link == Path::new(inode))).then(|| {
            let name = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
            format!("process {number} ({})", name.trim().escape_debug())
        })
    })
}

/// The inode of the socket in a line of the kernel's table, if it listens on this port.
fn inode_of(line: &str, port: u16) -> Option<String> {
    let mut fields = line.split_whitespace();
    let local = fields.nth(1)?;
    let state = fields.nth(1)?;
    let own = u16::from_str_radix(local.rsplit(':').next()?, 16).ok()?;
    (own == port && state == LISTENS).then(|| fields.nth(5).map(str::to_owned))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernels_table_are_read() {
        let line = "   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 31337 1 \
                    0000 100";
        assert_eq!(inode_of(line, 8080).as_deref(), Some("31337"));
        assert_eq!(inode_of(line, 8081), None);
        assert_eq!(inode_of(&line.replace(" 0A ", " 01 "), 8080), None);
        assert_eq!(inode_of("  sl  local_address rem_address   st", 8080), None);
    }
}
