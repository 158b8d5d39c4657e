//! "Did you mean …?": the known word nearest to a mistyped one.

/// The candidate with the smallest edit distance, if it is near enough to be a typing mistake: at most a third
/// of the longer word. A candidate that `word` abbreviates, or the other way round, counts as near, too.
pub(super) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let lower = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (distance(&lower, candidate), candidate))
        .filter(|(distance, candidate)| {
            let longer = lower.chars().count().max(candidate.chars().count());
            let part = lower.len() >= 4 && (candidate.starts_with(&lower) || lower.starts_with(candidate));
            *distance <= (longer / 3).max(1) || part
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edits (insert, delete, replace, swap two neighbours) that turn `from` into `to`.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut above: Vec<usize> = (0..=to.len()).collect(); // row of the previous character of `from`
    let mut two_above: Vec<usize> = Vec::new();
    let mut before = None;
    for (i, f) in from.chars().enumerate() {
        let mut row = vec![i + 1];
        for (j, t) in to.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
            let mut best = at(&above, j) + usize::from(f != *t);
            best = best.min(at(&above, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = j > 0 && before == Some(*t) && to.get(j.wrapping_sub(1)) == Some(&f);
            if swapped {
                best = best.min(at(&two_above, j - 1) + 1);
            }
            row.push(best);
        }
        two_above = std::mem::replace(&mut above, row);
        before = Some(f);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("ab", "ba", 1),
            ("ä", "a", 1),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn only_what_may_be_a_typing_mistake() {
        let keys = ["poll_interval", "client_id", "client_secret", "ca_file"];
        assert_eq!(nearest("pol_interval", keys), Some("poll_interval"));
        assert_eq!(nearest("client_sercet", keys), Some("client_secret"));
        assert_eq!(nearest("CA_FILE", keys), Some("ca_file"));
        assert_eq!(nearest("poll", keys), Some("poll_interval"));
        assert_eq!(nearest("zzz", keys), None);
        assert_eq!(nearest("x", []), None);
    }
}
