//! The properties of the fuzz targets, without a fuzzer: on inputs made of the fixtures, on those cut at every byte, and
//! on some thousand mutations of them.
//!
//! The mutations are the same each time; `GREGOR_FUZZ_SEED` gives others, `GREGOR_FUZZ_MUTATIONS` more. `GREGOR_FUZZ_CUTS`
//! cuts longer inputs at more places, with `every` at each byte: `scripts/fuzz.sh --every-cut`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    unreachable_pub,
    reason = "a test that meets something unforeseen fails by panicking; the targets are a crate elsewhere"
)]

#[path = "fuzz/src/lib.rs"]
mod targets;

use std::env;
use std::fmt::Display;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::panic::resume_unwind;
use std::path::Path;
use std::path::PathBuf;

use targets::TARGETS;
use targets::Target;
use targets::truncation::KINDS;

/// Mutations of each target's seeds.
const MUTATIONS: usize = 3000;
/// Places at which the seeds of a target are cut: each of their bytes, unless these are more.
const CUTS: usize = 100_000;
/// The same for targets that compress, write files or read a whole configuration.
const FEW_CUTS: usize = 5_000;
const SLOW: [&str; 4] = ["message_sets", "gzip", "recovery", "configuration"];
/// The same for whole fixtures, of which each kind has some hundred thousand bytes.
const CUTS_OF_FIXTURES: usize = 1_000;
/// Bytes that mean something somewhere: signs, greatest numbers, separators.
const SPECIAL: &[u8] = b"\x00\x01\x7f\x80\xff\"{}[]:,\\\n\r =-0";

fn number<T: std::str::FromStr>(variable: &str) -> Option<T> {
    env::var(variable).ok()?.parse().ok()
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn target(name: &str) -> (Target, Vec<Vec<u8>>) {
    let target = TARGETS.into_iter().find(|target| target.name == name).unwrap();
    let seeds = (target.seeds)(&fixtures());
    assert!(seeds.len() > 1, "{name} has seeds");
    (target, seeds)
}

/// How far apart the places are at which so many bytes are cut.
fn step(bytes: usize, cuts: usize) -> usize {
    if env::var("GREGOR_FUZZ_CUTS").is_ok_and(|cuts| cuts == "every") {
        1
    } else {
        bytes / number("GREGOR_FUZZ_CUTS").unwrap_or(cuts) + 1
    }
}

/// Says which input it was, if the property does not hold.
fn check(target: &Target, input: &[u8], what: impl Display) {
    let held = catch_unwind(AssertUnwindSafe(|| (target.holds)(input)));
    if let Err(panic) = held {
        eprintln!("{}: {what}: {}", target.name, input.escape_ascii());
        resume_unwind(panic);
    }
}

fn check_all(name: &str) {
    let (target, seeds) = target(name);
    let bytes: usize = seeds.iter().map(Vec::len).sum();
    let cuts = if SLOW.contains(&name) { FEW_CUTS } else { CUTS };
    let step = step(bytes, cuts);
    for (number, seed) in seeds.iter().enumerate() {
        check(&target, seed, format_args!("seed {number}"));
        for len in (number % step..seed.len()).step_by(step) {
            check(
                &target,
                &seed[..len],
                format_args!("seed {number} cut to {len} bytes"),
            );
        }
    }
    let random_seed = number("GREGOR_FUZZ_SEED").unwrap_or(1);
    let mut random = fastrand::Rng::with_seed(random_seed);
    for at in 0..number("GREGOR_FUZZ_MUTATIONS").unwrap_or(MUTATIONS) {
        let input = mutated(&seeds, &mut random);
        check(
            &target,
            &input,
            format_args!("mutation {at} with GREGOR_FUZZ_SEED={random_seed}"),
        );
    }
}

/// Cuts every fixture of a kind, whatever its size.
fn cut(name: &str) {
    let kind = KINDS.into_iter().find(|kind| kind.name == name).unwrap();
    let fixtures = (kind.fixtures)(&fixtures());
    let places: usize = fixtures.iter().map(|whole| whole.places).sum();
    let step = step(places, CUTS_OF_FIXTURES);
    let mut cuts = 0;
    for (number, whole) in fixtures.iter().enumerate() {
        for place in (number % step..whole.places).step_by(step) {
            let held = catch_unwind(AssertUnwindSafe(|| (whole.cut)(place)));
            if let Err(panic) = held {
                eprintln!(
                    "{name}: fixture {number} cut at place {place} of {}",
                    whole.places
                );
                resume_unwind(panic);
            }
            cuts += 1;
        }
    }
    assert!(cuts > 0, "there is something to cut");
    eprintln!(
        "{name}: {} fixtures, {places} places, {cuts} cuts",
        fixtures.len()
    );
}

fn mutated(seeds: &[Vec<u8>], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut input = random.choice(seeds).unwrap().clone();
    for _ in 0..random.usize(1..=4) {
        let at = random.usize(0..=input.len());
        let len = random.usize(0..=8).min(input.len() - at);
        match random.u8(0..6) {
            0 => input[at..at + len]
                .iter_mut()
                .for_each(|byte| *byte = random.u8(..)),
            1 => input[at..at + len].fill(*random.choice(SPECIAL).unwrap()),
            2 => drop(input.drain(at..at + len)),
            3 => input.insert(at, *random.choice(SPECIAL).unwrap()),
            4 => {
                let other = random.choice(seeds).unwrap();
                let from = random.usize(0..=other.len());
                let taken = other[from..].iter().take(64).copied();
                input.splice(at..at, taken).for_each(drop);
            }
            _ => {
                let repeated = input[at..at + len].to_vec();
                input.splice(at..at, repeated).for_each(drop);
            }
        }
    }
    input
}

macro_rules! tests {
    ($check:ident $all:ident $complete:ident $($name:ident)*) => {
        $(#[test]
        fn $name() {
            $check(stringify!($name));
        })*

        #[test]
        fn $complete() {
            let names = $all.map(|one| one.name);
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

tests!(check_all TARGETS every_target_is_checked
    frames requests request_bodies responses message_sets gzip snappy lz4 recovery checkpoints znodes properties
    configuration group_offsets);

tests!(cut KINDS every_kind_is_cut
    cut_frames cut_requests cut_responses cut_sets cut_wrappers cut_segments cut_indexes cut_long_indexes cut_swaps
    cut_leftovers cut_checkpoints cut_znodes cut_group_offsets);
