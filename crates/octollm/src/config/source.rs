//! Where values come from.

use super::{
    ConfigError, SETTINGS,
    models::{self, ProviderTable},
};
use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody set it.
    Default,
    /// A file.
    File(PathBuf),
    /// A variable of the environment.
    Variable(&'static str),
    /// A flag of the command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path) => write!(f, "{}", path.display()),
            Origin::Variable(name) => write!(f, "environment {name}"),
            Origin::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// All values as text, with their origins.
pub(crate) struct Sources {
    values: BTreeMap<&'static str, (String, Origin)>,
    providers: Vec<ProviderTable>,
    file: Option<PathBuf>,
}

/// Variables that begin with `OCTOLLM_` and are no settings.
const OTHER_VARIABLES: &[&str] = &["OCTOLLM_CONFIG", "OCTOLLM_FAILPOINTS"];

impl Sources {
    /// Reads file, environment and flags.
    ///
    /// `environment` holds the variables that begin with `OCTOLLM_`; `options` the variables
    /// that belong to options of single verbs; `flags` pairs of a setting's key and its text.
    pub(crate) fn gather(
        file: Option<&Path>,
        environment: &BTreeMap<String, String>,
        options: &[String],
        flags: &[(&'static str, String)],
    ) -> Result<Self, ConfigError> {
        let mut values: BTreeMap<&'static str, (String, Origin)> =
            SETTINGS.iter().map(|s| (s.key, (s.default.to_owned(), Origin::Default))).collect();
        let mut providers = Vec::new();
        if let Some(path) = file {
            let (settings, tables) = read_file(path)?;
            providers = tables;
            for (key, value) in settings {
                values.insert(key, (value, Origin::File(path.to_owned())));
            }
        }
        for (name, value) in environment {
            match SETTINGS.iter().find(|s| s.variable() == *name) {
                Some(setting) => {
                    values.insert(setting.key, (value.clone(), Origin::Variable(setting.variable)));
                }
                None if name.starts_with("OCTOLLM_TEST_") => {}
                None if OTHER_VARIABLES.contains(&name.as_str()) || options.contains(name) => {}
                None => {
                    let known = SETTINGS.iter().map(|s| s.variable).chain(options.iter().map(String::as_str));
                    return Err(ConfigError::Unknown {
                        origin: "environment".into(),
                        name: name.clone(),
                        nearest: nearest(name, known),
                    });
                }
            }
        }
        for (key, value) in flags {
            values.insert(key, (value.clone(), Origin::Flag(flag(key))));
        }
        Ok(Sources { values, providers, file: file.map(Path::to_owned) })
    }

    /// The model servers that the file lists.
    pub(crate) fn providers(&self) -> &[ProviderTable] {
        &self.providers
    }

    /// Where [`Sources::providers`] came from.
    pub(crate) fn providers_origin(&self) -> Origin {
        self.file.clone().map_or(Origin::Default, Origin::File)
    }

    /// The text of a setting and where it came from.
    pub(crate) fn get(&self, key: &'static str) -> (&str, &Origin) {
        let (value, origin) = self.values.get(key).expect("every setting of the table has a value");
        (value, origin)
    }
}

/// Whoever names it waits for it knowingly.
const STDIN: &str = "/dev/stdin";

type Settings = Vec<(&'static str, String)>;

fn read_file(path: &Path) -> Result<(Settings, Vec<ProviderTable>), ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let kind = fs::metadata(path).map_err(unreadable)?.file_type();
    if !kind.is_file() && path != Path::new(STDIN) {
        let what = if kind.is_dir() { "a folder" } else { "a FIFO, a socket or a device" };
        return Err(ConfigError::NoFile { path: path.to_owned(), what });
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| ConfigError::NotToml {
        path: path.to_owned(),
        message: error.to_string(),
    })?;
    let (mut values, mut providers) = (Vec::new(), Vec::new());
    for (name, value) in table {
        if name == "providers" {
            providers = models::tables(path, value)?;
            continue;
        }
        let Some(setting) = SETTINGS.iter().find(|s| s.key == name) else {
            return Err(ConfigError::Unknown {
                origin: path.display().to_string(),
                nearest: nearest(&name, SETTINGS.iter().map(|s| s.key)),
                name,
            });
        };
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(flag) => flag.to_string(),
            other @ (toml::Value::Float(_)
            | toml::Value::Datetime(_)
            | toml::Value::Array(_)
            | toml::Value::Table(_)) => {
                return Err(ConfigError::Invalid {
                    origin: Origin::File(path.to_owned()),
                    key: setting.key,
                    value: other.to_string(),
                    why: "a text, a whole number, true or false is taken here".into(),
                });
            }
        };
        values.push((setting.key, text));
    }
    Ok((values, providers))
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    // What all variables begin with makes none of them like another.
    let own = |name: &'a str| name.strip_prefix("OCTOLLM_").unwrap_or(name);
    let name = name.strip_prefix("OCTOLLM_").unwrap_or(name);
    let known: Vec<&str> = known.collect();
    // Who has written another case has written no other name.
    if let Some(same) = known.iter().find(|k| own(k).eq_ignore_ascii_case(name)) {
        return Some((*same).to_owned());
    }
    let close =
        known.into_iter().map(|k| (strsim::jaro_winkler(name, own(k)), k)).filter(|(score, _)| *score > 0.8);
    close.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, k)| k.to_owned())
}

/// The flag that gives a setting.
fn flag(key: &str) -> String {
    match key {
        "model_url" => "--model".to_owned(),
        "model" => "--model-name".to_owned(),
        key => format!("--{}", key.replace('_', "-")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn the_last_source_that_names_a_setting_wins() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("octollm.toml");
        fs::write(&file, "listen = \"127.0.0.1:1\"\nslots = 7\n").unwrap();
        let environment = environment(&[("OCTOLLM_LISTEN", "127.0.0.1:2")]);
        let none = Sources::gather(Some(&file), &BTreeMap::new(), &[], &[]).unwrap();
        assert_eq!(none.get("listen"), ("127.0.0.1:1", &Origin::File(file.clone())));
        assert_eq!(none.get("slots").0, "7");
        assert_eq!(none.get("log").1, &Origin::Default);
        let both = Sources::gather(Some(&file), &environment, &[], &[]).unwrap();
        assert_eq!(both.get("listen"), ("127.0.0.1:2", &Origin::Variable("OCTOLLM_LISTEN")));
        let all =
            Sources::gather(Some(&file), &environment, &[], &[("listen", "127.0.0.1:3".into())]).unwrap();
        assert_eq!(all.get("listen"), ("127.0.0.1:3", &Origin::Flag("--listen".into())));
    }

    /// P8: what is no file is refused with its name and not waited for.
    #[test]
    fn what_is_no_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).unwrap();
        for (path, what) in [
            (fifo.as_path(), "a FIFO"),
            (folder.path(), "a folder"),
            (Path::new("/dev/null"), "a FIFO, a socket or a device"),
        ] {
            let Err(error) = Sources::gather(Some(path), &BTreeMap::new(), &[], &[]) else {
                panic!("{what}")
            };
            let said = error.to_string();
            assert!(
                said.contains(&format!("{} is {what}", path.display())) && said.contains("not a file"),
                "{said}"
            );
        }
    }

    /// P8: an unknown name is an error that suggests the nearest known one.
    #[test]
    fn an_unknown_name_suggests_the_nearest_known_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("octollm.toml");
        fs::write(&file, "lisen = \"127.0.0.1:1\"\n").unwrap();
        let error = Sources::gather(Some(&file), &BTreeMap::new(), &[], &[]).err().unwrap().to_string();
        assert!(error.ends_with("there is no setting lisen; did you mean listen?"), "{error}");
        let wrong = environment(&[("OCTOLLM_LISTN", "x")]);
        let error = Sources::gather(None, &wrong, &[], &[]).err().unwrap().to_string();
        assert_eq!(error, "environment: there is no setting OCTOLLM_LISTN; did you mean OCTOLLM_LISTEN?");
        let case = environment(&[("OCTOLLM_slots", "3")]);
        let options = ["OCTOLLM_CA".to_owned()];
        let error = Sources::gather(None, &case, &options, &[]).err().unwrap().to_string();
        assert!(error.ends_with("did you mean OCTOLLM_SLOTS?"), "{error}");
        fs::write(&file, "SLOTS = 3\n").unwrap();
        let error = Sources::gather(Some(&file), &BTreeMap::new(), &[], &[]).err().unwrap().to_string();
        assert!(error.ends_with("did you mean slots?"), "{error}");
        for far in ["OCTOLLM_BOGUS", "OCTOLLM_BOGUS_SETTING", "OCTOLLM_X"] {
            let error =
                Sources::gather(None, &environment(&[(far, "x")]), &[], &[]).err().unwrap().to_string();
            assert_eq!(error, format!("environment: there is no setting {far}"));
        }
        let option = environment(&[("OCTOLLM_MAX_TIME", "5")]);
        assert!(Sources::gather(None, &option, &["OCTOLLM_MAX_TIME".into()], &[]).is_ok());
    }
}
