//! libfaketime: a program's wall clock, set while it runs by writing to a file.

use std::path::Path;
use std::path::PathBuf;

/// The library, where Debian's package has it.
fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten();
    folders
        .map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.exists())
}

/// Whether it is there.
pub(crate) fn installed() -> bool {
    library().is_some()
}

/// What a program's environment must have for its clock to be what the file says: `+3600` is an hour ahead.
pub(crate) fn environment(file: &Path) -> Vec<(String, String)> {
    let library = library().expect("the test asked for it");
    [
        ("LD_PRELOAD", library.as_path()),
        ("FAKETIME_TIMESTAMP_FILE", file),
        ("FAKETIME_NO_CACHE", Path::new("1")),
        // Only what people set is wrong; and the times of files are the kernel's.
        ("FAKETIME_DONT_FAKE_MONOTONIC", Path::new("1")),
        ("NO_FAKE_STAT", Path::new("1")),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_string_lossy().into_owned()))
    .into()
}
