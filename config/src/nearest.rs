//! The valid word nearest to one that is not valid.
//!
//! Invariants: the cost is bounded whatever the input; a word that is nothing like any candidate has no nearest.

/// Words longer than this have no nearest one: nobody meant a key by them.
const LONGEST: usize = 64;

/// The candidate that takes the fewest insertions, deletions, replacements and swaps of neighbouring characters to reach
/// from `word`, if they are at most a third of the word's length, and at least one is allowed; the first among equals.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().take(LONGEST + 1).map(|c| c.to_ascii_lowercase()).collect();
    if word.is_empty() || word.len() > LONGEST {
        return None;
    }
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let letters: Vec<char> =
                candidate.chars().take(LONGEST + 1).map(|c| c.to_ascii_lowercase()).collect();
            let allowed = (word.len().max(letters.len()) / 3).max(1);
            if letters.len() > LONGEST || word.len().abs_diff(letters.len()) > allowed {
                return None;
            }
            let distance = distance(&word, &letters);
            (distance <= allowed).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edit distance in which a swap of neighbours costs one (optimal string alignment), by rows.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut row = Vec::with_capacity(to.len() + 1);
        row.push(i + 1);
        for (j, b) in to.iter().enumerate() {
            let replaced = above[j] + usize::from(a != b);
            let mut least = replaced.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[to.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn nearest_words() {
        // (word, candidates, nearest)
        let cases: [(&str, &[&str], Option<&str>); 10] = [
            ("protcol", &["protocol", "mode", "port"], Some("protocol")),
            ("prot", &["port", "protocol"], Some("port")),
            ("vpi", &["vip", "via"], Some("vip")),
            ("TCP", &["tcp", "udp"], Some("tcp")),
            ("full_nat", &["full-nat", "nat", "dsr-mac"], Some("full-nat")),
            ("sctp", &["tcp", "udp"], None),
            ("colour", &["vip", "mode", "name"], None),
            ("", &["a"], None),
            ("größe", &["grösse", "x"], Some("grösse")),
            ("naem", &[], None),
        ];
        for (word, candidates, expected) in cases {
            assert_eq!(nearest(word, candidates.iter().copied()), expected, "{word}");
        }
    }

    #[test]
    fn a_long_word_has_none() {
        let long = "x".repeat(1 << 20);
        assert_eq!(nearest(&long, ["x"]), None);
        assert_eq!(nearest("x", [long.as_str()]), None);
    }
}
