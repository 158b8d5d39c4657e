//! What of the status page is asked for, and which tenants that are: those in trouble first, so many at a time. Pure.

use super::status::{Feed, Tenant};
use super::words::{self, Tone};
use crate::limits::{PAGE_SEARCH_CHARS, PAGE_TENANTS};

/// The query of the page's address. What it does not know or cannot read is left out: a page is better than none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    /// Which part of the tenants, from 1.
    page: usize,
    /// Part of a tenant's name; empty for all.
    pub search: String,
    /// The page does not load itself again.
    pub still: bool,
}

impl View {
    pub(super) fn parse(query: Option<&str>) -> Self {
        let mut view = View { page: 1, ..View::default() };
        for (key, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match key.as_ref() {
                "page" => view.page = value.parse().unwrap_or(1),
                "tenant" => view.search = value.trim().chars().take(PAGE_SEARCH_CHARS).collect(),
                "refresh" => view.still = value == "off",
                _ => {}
            }
        }
        view
    }

    /// The address of another part of the same view.
    pub(super) fn at(&self, page: usize) -> String {
        self.address(page, self.still)
    }

    /// The same view, loading itself again or not.
    pub(super) fn with_refresh(&self, on: bool) -> String {
        self.address(self.page, !on)
    }

    fn address(&self, page: usize, still: bool) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        if !self.search.is_empty() {
            query.append_pair("tenant", &self.search);
        }
        if page > 1 {
            query.append_pair("page", &page.to_string());
        }
        if still {
            query.append_pair("refresh", "off");
        }
        let query = query.finish();
        if query.is_empty() { "/".to_owned() } else { format!("/?{query}") }
    }

    /// The tenants of this view.
    pub(super) fn select<'a>(&self, tenants: &'a [Tenant]) -> Selection<'a> {
        let search = self.search.to_lowercase();
        let mut found: Vec<(Tone, &Tenant)> = tenants
            .iter()
            .filter(|tenant| tenant.name.to_lowercase().contains(&search))
            .map(|tenant| (words::tenant(tenant), tenant))
            .collect();
        found.sort_by(|(a, left), (b, right)| b.cmp(a).then_with(|| left.name.cmp(&right.name)));
        let pages = found.len().div_ceil(PAGE_TENANTS).max(1);
        let page = self.page.clamp(1, pages);
        let before = (page - 1) * PAGE_TENANTS;
        Selection {
            found: found.len(),
            pages,
            page,
            before,
            shown: found.into_iter().skip(before).take(PAGE_TENANTS).collect(),
        }
    }
}

/// A part of the tenants.
pub(super) struct Selection<'a> {
    /// How many the search found.
    pub found: usize,
    pub pages: usize,
    /// From 1.
    pub page: usize,
    /// How many are on the pages before.
    pub before: usize,
    /// Those of this page with the worst there is of each.
    pub shown: Vec<(Tone, &'a Tenant)>,
}

/// A tenant's feeds, those in trouble first, else in their own order.
pub(super) fn feeds(tenant: &Tenant) -> Vec<&Feed> {
    let mut feeds: Vec<&Feed> = tenant.feeds.iter().collect();
    feeds.sort_by_key(|feed| std::cmp::Reverse(words::trouble(feed)));
    feeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_was_written() {
        let view = View::parse(Some("tenant=a%26b%20c&page=3&refresh=off&x=y"));
        assert_eq!(view, View { page: 3, search: "a&b c".into(), still: true });
        assert_eq!(view.at(4), "/?tenant=a%26b+c&page=4&refresh=off");
        assert_eq!(view.with_refresh(true), "/?tenant=a%26b+c&page=3");
        let plain = View::parse(None);
        assert_eq!((plain.at(1), plain.with_refresh(false)), ("/".into(), "/?refresh=off".into()));
        for odd in ["page=-1", "page=99999999999999999999999", "page=&tenant=%ff%00", "&&&=", "page=0"] {
            View::parse(Some(odd)).select(&[]);
        }
        assert_eq!(View::parse(Some(&format!("tenant={}", "ä".repeat(500)))).search.chars().count(), 64);
    }
}
