//! Writes the seeds of a target to a folder, one file each: `seeds TARGET FIXTURES FOLDER`.

use std::env;
use std::fs;
use std::path::Path;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [name, fixtures, folder] = &arguments[..] else {
        panic!("seeds TARGET FIXTURES FOLDER");
    };
    let target = gregor_fuzz::TARGETS.into_iter().find(|target| target.name == *name);
    let target = target.expect("there is such a target");
    fs::create_dir_all(folder).unwrap();
    for (number, seed) in (target.seeds)(Path::new(fixtures)).iter().enumerate() {
        fs::write(Path::new(folder).join(format!("seed-{number:04}")), seed).unwrap();
    }
}
