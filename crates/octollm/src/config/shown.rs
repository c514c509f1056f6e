//! A setting as people are shown it: what is secret is said to be set, and no more.

use super::{Origin, Sources, models, settings::Setting};
use octollm_store::postgres::{ReplicaTargets, Target};

/// A setting as `config show` prints it.
pub(crate) struct Shown<'a>(pub(crate) &'a Setting, pub(crate) &'a Sources);

impl Shown<'_> {
    /// The value, or that there is one.
    pub(crate) fn value(&self) -> String {
        let text = self.1.get(self.0.key).0;
        // Where the database is may be shown, who comes in and how may not.
        if self.0.key == "database_url"
            && let Ok(target) = text.parse::<Target>()
        {
            return target.to_string();
        }
        if self.0.key == "database_replicas"
            && let Ok(replicas) = text.parse::<ReplicaTargets>()
        {
            return replicas.to_string();
        }
        match (self.0.secret, text.is_empty()) {
            (true, false) => "(set, not shown)".into(),
            (_, true) => "\"\"".into(),
            (false, false) => models::shown_url(text),
        }
    }

    /// Where it came from.
    pub(crate) fn origin(&self) -> &Origin {
        self.1.get(self.0.key).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SETTINGS;
    use std::collections::BTreeMap;

    #[test]
    fn where_the_database_is_is_shown_and_its_password_is_not() {
        let url = "postgresql://octo:hunter2@one:5432,two:5433/tasks?application_name=x&password=hunter2";
        let flags = [("database_url", url.to_owned())];
        let sources = Sources::gather(None, &BTreeMap::new(), &[], &flags).unwrap();
        let setting = SETTINGS.iter().find(|setting| setting.key == "database_url").unwrap();
        assert_eq!(Shown(setting, &sources).value(), "postgresql://one:5432,two:5433/tasks");
    }
}
