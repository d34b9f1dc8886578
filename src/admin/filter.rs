//! Which topics a name or an expression means.

use regex::bytes::Regex;
use regex::bytes::RegexBuilder;

/// Chooses topics by an expression that must match the whole name, with the habits of 0.8.2.2 (TopicFilter): commas
/// separate alternatives, blanks and the quotes around it are dropped.
#[derive(Debug, Clone)]
pub struct TopicFilter(Option<Regex>);

/// The expression cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is an invalid regex.")]
pub struct BadExpression(String);

impl TopicFilter {
    /// Every topic.
    pub fn all() -> Self {
        Self(None)
    }

    /// Those that the expression matches.
    pub fn new(expression: &str) -> Result<Self, BadExpression> {
        let expression: String = expression
            .trim()
            .chars()
            .map(|c| if c == ',' { '|' } else { c })
            .filter(|c| *c != ' ')
            .collect();
        let expression = expression.trim_start_matches(['"', '\'']);
        let expression = expression.trim_end_matches(['"', '\'']);
        // Names are ASCII; so are the classes of Java's expressions unless asked otherwise.
        RegexBuilder::new(&format!("^(?:{expression})$"))
            .unicode(false)
            .build()
            .map(|regex| Self(Some(regex)))
            .map_err(|_| BadExpression(expression.to_owned()))
    }

    /// Whether it means this topic.
    pub fn includes(&self, topic: &str) -> bool {
        self.0
            .as_ref()
            .is_none_or(|regex| regex.is_match(topic.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn expressions_match_whole_names() {
        let cases = [
            ("t1", "t1", true),
            ("t1", "t10", false),
            ("a.b", "axb", true),
            ("t1, rep", "rep", true),
            ("\"t1,rep\"", "t1", true),
            ("'t.*'", "t1", true),
            (".*e.*", "rep", true),
            (".*e.*", "t1", false),
            ("t\\d+", "t12", true),
        ];
        for (expression, topic, expected) in cases {
            let filter = TopicFilter::new(expression).unwrap();
            assert_eq!(filter.includes(topic), expected, "{expression} {topic}");
        }
        assert!(TopicFilter::all().includes("anything"));
        let bad = TopicFilter::new("t(").unwrap_err();
        assert_eq!(bad.to_string(), "t( is an invalid regex.");
    }

    #[test]
    fn expressions_choose_what_the_reference_chooses() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/fixtures/tables/topic-filters.json"
        );
        let table: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let topics = [
            "t",
            "t1",
            "a",
            "b",
            "ab",
            "axb",
            "a.b",
            "T",
            "tt",
            "__consumer_offsets",
            "zz",
        ];
        let rows = table["rows"].as_array().unwrap();
        assert!(rows.len() > 10);
        for row in rows {
            match TopicFilter::new(row["given"].as_str().unwrap()) {
                Ok(filter) => {
                    let chosen: Vec<_> = topics
                        .into_iter()
                        .filter(|topic| filter.includes(topic))
                        .collect();
                    assert_eq!(
                        serde_json::json!(chosen),
                        row["white_list_with_internal"],
                        "{row}"
                    );
                }
                Err(error) => assert_eq!(
                    format!("java.lang.RuntimeException: {error}"),
                    row["error"].as_str().unwrap_or_else(|| panic!("{row}")),
                ),
            }
        }
    }
}
