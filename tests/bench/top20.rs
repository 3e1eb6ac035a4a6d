// SPDX-License-Identifier: MIT
//! A yardstick: reads an allocinfo text, sorts by size and prints the 20 largest, as a reader of the
//! text in Rust does it. `rustc -O top20.rs`.

use std::io::Write;

struct Tag<'a> {
    bytes: i64,
    line: &'a str,
}

fn parse(line: &str) -> Option<Tag<'_>> {
    let mut words = line.split_ascii_whitespace();
    let bytes = words.next()?.parse().ok()?;
    words.next()?.parse::<u64>().ok()?;
    words.next()?;
    Some(Tag { bytes, line })
}

fn main() -> std::io::Result<()> {
    let path = std::env::args().nth(1).unwrap_or("/proc/allocinfo".into());
    let text = std::fs::read_to_string(path)?;
    let mut tags: Vec<Tag> = text.lines().filter_map(parse).collect();
    tags.sort_by_key(|tag| std::cmp::Reverse(tag.bytes));
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for tag in tags.iter().take(20) {
        writeln!(out, "{}", tag.line)?;
    }
    out.flush()
}
