//! Writing HTML so that outside text cannot become markup: markup is a literal of this program, everything
//! else is text and escaped.

use crate::telemetry::escape::clean;

/// A page under way.
#[derive(Default)]
pub(super) struct Html(String);

impl Html {
    /// Markup. Only literals of the source are `'static` here; text goes through [`Html::text`].
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text or an attribute's value (in double quotes).
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for c in clean(text).chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c => self.0.push(c),
            }
        }
        self
    }

    /// A sentence in which `commands` stand between backticks.
    pub(super) fn prose(&mut self, text: &str) -> &mut Self {
        for (n, part) in clean(text).split('`').enumerate() {
            match n % 2 {
                0 => self.text(part),
                _ => self.raw("<code>").text(part).raw("</code>"),
            };
        }
        self
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commands_in_a_sentence_stand_out() {
        let mut html = Html::default();
        html.prose("run `resume <x>`, or `wait");
        assert_eq!(html.finish(), "run <code>resume &lt;x&gt;</code>, or <code>wait</code>");
    }

    proptest! {
        #[test]
        fn text_never_becomes_markup(text in any::<String>()) {
            let mut html = Html::default();
            html.text(&text);
            prop_assert!(!html.finish().contains(['<', '>', '"', '\'', '\n', '\0']));
        }
    }
}
