//! Which model servers there are.
//!
//! `OCTOLLM_MODEL_URL` comes first, then the `[[providers]]` of the file. Only when there is
//! neither, `OPENAI_API_KEY` counts, and without that `ANTHROPIC_API_KEY`.

use super::{ConfigError, Origin, Sources};
use octollm_arms::LOANS_MAX;
use octollm_gateway::CALLS_AT_ONCE;
use octollm_llm::{BadProvider, Kind, ProviderKey, check_address};
use serde::Deserialize;
use std::path::Path;

/// A model server as the configuration names it.
#[derive(Clone, Debug)]
pub(crate) struct ModelServer {
    /// What it is called in receipts.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) url: String,
    pub(crate) key: ServerKey,
    /// The models to ask it for, the default first; empty: the first that it lists.
    pub(crate) models: Vec<String>,
    /// Questions that it is asked at once.
    pub(crate) calls_at_once: Option<u16>,
}

/// A model server's key.
#[derive(Clone, Debug)]
pub(crate) enum ServerKey {
    /// It wants none.
    None,
    Known(ProviderKey),
    /// The variable that it should be in is not set: whoever asks no model needs no key.
    Unset {
        /// Its name.
        variable: String,
    },
}

impl From<Option<ProviderKey>> for ServerKey {
    fn from(key: Option<ProviderKey>) -> Self {
        key.map_or(ServerKey::None, ServerKey::Known)
    }
}

/// One of `[[providers]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProviderTable {
    /// What it is called.
    pub(crate) name: String,
    /// Which API it speaks.
    #[serde(default)]
    pub(crate) kind: KindName,
    /// Its address.
    pub(crate) url: String,
    /// Its key.
    #[serde(default)]
    key: Option<String>,
    /// The variable that its key is in.
    #[serde(default)]
    key_variable: Option<String>,
    /// The models to ask it for, the default first.
    #[serde(default)]
    pub(crate) models: Vec<String>,
    /// Questions that it is asked at once; more wait.
    #[serde(default)]
    calls_at_once: Option<u16>,
}

/// The APIs by name.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum KindName {
    /// Chat completions, as OpenAI, vLLM, Ollama and llama.cpp serve them.
    #[default]
    OpenAi,
    /// Messages.
    Anthropic,
}

impl From<KindName> for Kind {
    fn from(name: KindName) -> Kind {
        match name {
            KindName::OpenAi => Kind::OpenAi,
            KindName::Anthropic => Kind::Anthropic,
        }
    }
}

/// Reads the `[[providers]]` of the file at `path`.
pub(super) fn tables(path: &Path, value: toml::Value) -> Result<Vec<ProviderTable>, ConfigError> {
    let bad = |why: String| ConfigError::Invalid {
        origin: Origin::File(path.to_owned()),
        key: "providers",
        // A value may hold a key.
        value: "…".into(),
        why,
    };
    let tables: Vec<ProviderTable> = value.try_into().map_err(|error: toml::de::Error| {
        let said = octollm_contract::in_words(error.message(), "a table");
        bad(format!("{said}; it must look like [[providers]] name = \"…\" url = \"…\""))
    })?;
    for table in &tables {
        if table.key.is_some() && table.key_variable.is_some() {
            return Err(bad(format!("{}: give key or key_variable, not both", table.name)));
        }
        if table.calls_at_once == Some(0) {
            return Err(bad(format!("{}: calls_at_once must be at least 1", table.name)));
        }
    }
    Ok(tables)
}

/// The model servers, the preferred one first. `variable` looks up the environment.
pub(super) fn servers(
    sources: &Sources,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Vec<ModelServer>, ConfigError> {
    let model: Vec<String> = set(sources, "model").map(str::to_owned).into_iter().collect();
    let one = |name: &str, kind, url: &str, key: Option<ProviderKey>| ModelServer {
        name: name.to_owned(),
        kind,
        url: url.to_owned(),
        key: key.into(),
        models: model.clone(),
        calls_at_once: None,
    };
    let mut servers = Vec::new();
    if let Some(url) = set(sources, "model_url") {
        addressed(sources, "model_url")?;
        servers.push(one("default", Kind::OpenAi, url, key(sources, "model_key")?));
    }
    for table in sources.providers() {
        servers.push(listed(sources, table, &variable)?);
    }
    for (at, server) in servers.iter().enumerate() {
        if servers[..at].iter().any(|other| other.name == server.name) {
            return Err(ConfigError::Invalid {
                origin: sources.providers_origin(),
                key: "providers",
                value: server.name.clone(),
                why: "two model servers have this name (the one of model_url is called default)".into(),
            });
        }
    }
    let at_once = |server: &ModelServer| server.calls_at_once.map_or(CALLS_AT_ONCE, usize::from);
    let together: usize = servers.iter().map(at_once).sum();
    if together > LOANS_MAX {
        return Err(ConfigError::Invalid {
            origin: sources.providers_origin(),
            key: "providers",
            value: together.to_string(),
            why: format!(
                "the calls_at_once of all model servers add up to more than {LOANS_MAX} (one that says nothing has \
                 {CALLS_AT_ONCE}), so that servers that stand still could use up every slot of a worker; lower them"
            ),
        });
    }
    if !servers.is_empty() {
        if let (None, Some(model)) = (set(sources, "model_url"), set(sources, "model")) {
            prefer(sources, &mut servers, model)?;
        }
        return Ok(servers);
    }
    if let Some(key) = key(sources, "openai_api_key")? {
        addressed(sources, "openai_base_url")?;
        servers.push(one("openai", Kind::OpenAi, sources.get("openai_base_url").0, Some(key)));
    } else if let Some(key) = key(sources, "anthropic_api_key")? {
        addressed(sources, "anthropic_base_url")?;
        servers.push(one("anthropic", Kind::Anthropic, sources.get("anthropic_base_url").0, Some(key)));
    }
    Ok(servers)
}

/// Refuses a setting that is no address, also where nobody will ask a model this time.
fn addressed(sources: &Sources, key: &'static str) -> Result<(), ConfigError> {
    let (url, origin) = sources.get(key);
    let bad = |why: String| ConfigError::Invalid { origin: origin.clone(), key, value: shown_url(url), why };
    check_address(url).map_err(|error| bad(why(&error)))
}

/// What is wrong with an address, without the address.
fn why(error: &BadProvider) -> String {
    match error {
        BadProvider::Address(_) => {
            "it is no address of a model server, such as http://127.0.0.1:11434/v1".to_owned()
        }
        BadProvider::Credentials | BadProvider::Trust(_) | BadProvider::Client(_) => error.to_string(),
    }
}

/// Puts the provider that lists `model` first, and `model` first with it.
fn prefer(sources: &Sources, servers: &mut [ModelServer], model: &str) -> Result<(), ConfigError> {
    let found = servers.iter().position(|server| server.models.iter().any(|own| own == model));
    let at = found.ok_or_else(|| ConfigError::Invalid {
        origin: sources.get("model").1.clone(),
        key: "model",
        value: model.to_owned(),
        why: "none of the [[providers]] lists this model".into(),
    })?;
    servers[..=at].rotate_right(1);
    servers[0].models.sort_by_key(|own| own != model);
    Ok(())
}

/// An address without what may be a secret that stands in it by mistake: user and password, and what is asked.
pub(crate) fn shown_url(url: &str) -> String {
    let begin = url.find("://").map_or(0, |scheme| scheme + 3);
    // A password may have any sign in it, and what is asked an `@`: what stands in doubt is left out.
    let (scheme, user, place) = match url[begin..].rfind('@') {
        Some(at) => (&url[..begin], "…", &url[begin + at..]),
        None => ("", "", url),
    };
    match place.split_once('?') {
        Some((place, _)) if begin > 0 => format!("{scheme}{user}{place}?…"),
        _ => format!("{scheme}{user}{place}"),
    }
}

fn listed(
    sources: &Sources,
    table: &ProviderTable,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<ModelServer, ConfigError> {
    let bad = |why: String| ConfigError::Invalid {
        origin: sources.providers_origin(),
        key: "providers",
        value: table.name.clone(),
        why,
    };
    let parsed = |text: &str| ProviderKey::parse(text).map_err(|error| bad(error.to_string()));
    let key = match (&table.key_variable, &table.key) {
        (Some(name), _) => match variable(name) {
            Some(text) => ServerKey::Known(parsed(&text)?),
            None => ServerKey::Unset { variable: name.clone() },
        },
        (None, Some(text)) => ServerKey::Known(parsed(text)?),
        (None, None) => ServerKey::None,
    };
    check_address(&table.url).map_err(|error| bad(format!("its url: {}", why(&error))))?;
    Ok(ModelServer {
        name: table.name.clone(),
        kind: table.kind.into(),
        url: table.url.clone(),
        key,
        models: table.models.clone(),
        calls_at_once: table.calls_at_once,
    })
}

fn set<'a>(sources: &'a Sources, key: &'static str) -> Option<&'a str> {
    Some(sources.get(key).0).filter(|text| !text.trim().is_empty())
}

fn key(sources: &Sources, key: &'static str) -> Result<Option<ProviderKey>, ConfigError> {
    let parsed = set(sources, key).map(ProviderKey::parse).transpose();
    parsed.map_err(|error| ConfigError::Invalid {
        origin: sources.get(key).1.clone(),
        key,
        value: "…".into(),
        why: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn names(variables: &[(&str, &str)], file: &str) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("octollm.toml");
        std::fs::write(&path, file).unwrap();
        let environment: BTreeMap<String, String> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let sources = Sources::gather(Some(&path), &environment, &[], &[]);
        let sources = sources.map_err(|error| error.to_string())?;
        let found = servers(&sources, |name| environment.get(name).cloned());
        let line =
            |server: ModelServer| format!("{} {} {}", server.name, server.url, server.models.join(","));
        Ok(found.map_err(|error| error.to_string())?.into_iter().map(line).collect())
    }

    #[test]
    fn the_own_setting_goes_before_the_file_and_both_before_others_variables() {
        let listed = "[[providers]]\nname = \"farm\"\nurl = \"http://farm/v1\"\nmodels = [\"a\", \"b\"]\n";
        let openai = ("OPENAI_API_KEY", "sk-1");
        let anthropic = ("ANTHROPIC_API_KEY", "sk-ant-1");
        let own = ("OCTOLLM_MODEL_URL", "http://own/v1");
        let some = |lines: &[&str]| Ok(lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>());
        assert_eq!(names(&[], ""), some(&[]));
        assert_eq!(
            names(&[own, openai, ("OCTOLLM_MODEL", "m")], listed),
            some(&["default http://own/v1 m", "farm http://farm/v1 a,b"])
        );
        assert_eq!(names(&[openai, anthropic], ""), some(&["openai https://api.openai.com/v1 "]));
        assert_eq!(names(&[openai, ("OPENAI_BASE_URL", "http://x/v1")], ""), some(&["openai http://x/v1 "]));
        assert_eq!(names(&[anthropic], ""), some(&["anthropic https://api.anthropic.com "]));
        assert_eq!(names(&[("OPENAI_API_KEY", "")], ""), some(&[]));
    }

    #[test]
    fn a_model_that_a_provider_lists_is_preferred_and_another_is_an_error() {
        let listed = "[[providers]]\nname = \"a\"\nurl = \"http://a\"\nmodels = [\"m\"]\n\
                      [[providers]]\nname = \"b\"\nurl = \"http://b\"\nmodels = [\"x\", \"y\"]\n";
        let found = names(&[("OCTOLLM_MODEL", "y")], listed).unwrap();
        assert_eq!(found, ["b http://b y,x", "a http://a m"]);
        assert!(names(&[("OCTOLLM_MODEL", "z")], listed).unwrap_err().contains("lists this model"));
        assert_eq!(shown_url("http://u:pw@h/v1"), "http://…@h/v1");
        assert_eq!(shown_url("http://h/v1"), "http://h/v1");
        assert_eq!(shown_url("http://h/v1?key=sk-1"), "http://h/v1?…");
        assert_eq!(shown_url("http://u:p@h/v1?key=sk-1@x"), "http://…@x");
        assert_eq!(shown_url("http://u:p?w@h/v1"), "http://…@h/v1");
        assert_eq!(shown_url("u:pw@h:1"), "…@h:1");
        assert_eq!(shown_url("a?b"), "a?b");
    }

    /// It is wrong before a model is needed.
    #[test]
    fn an_address_that_is_none_is_an_error_that_names_its_setting() {
        for url in ["notaurl", "localhost:11434/v1", "ftp://a/v1", "http://", "/v1"] {
            let error = names(&[("OCTOLLM_MODEL_URL", url)], "").unwrap_err();
            assert!(error.contains("OCTOLLM_MODEL_URL") && error.contains("127.0.0.1:11434"), "{error}");
        }
        let error = names(&[("OCTOLLM_MODEL_URL", "http://me:hunter2@a/v1")], "").unwrap_err();
        assert!(error.contains("OCTOLLM_MODEL_URL") && !error.contains("hunter2"), "{error}");
        let error = names(&[("OPENAI_API_KEY", "k"), ("OPENAI_BASE_URL", "x")], "").unwrap_err();
        assert!(error.contains("OPENAI_BASE_URL"), "{error}");
        let error = names(&[], "[[providers]]\nname = \"farm\"\nurl = \"farm:80\"\n").unwrap_err();
        assert!(error.contains("farm") && error.contains("no address"), "{error}");
    }

    /// Whoever shows the configuration, or asks a server of ours, needs no provider's key.
    #[test]
    fn a_variable_that_is_not_set_is_an_error_only_where_its_key_is_needed() {
        let listed = "[[providers]]\nname = \"x\"\nurl = \"http://y\"\nkey_variable = \"NOWHERE\"\n";
        assert_eq!(names(&[], listed).unwrap(), ["x http://y "]);
    }

    #[test]
    fn a_provider_that_cannot_be_meant_is_an_error_without_its_key() {
        for (file, wanted) in [
            ("[[providers]]\nname = \"x\"\n", "missing field `url`"),
            (
                "[[providers]]\nname = \"x\"\nurl = \"http://y\"\nkeys = \"sk-secret\"\n",
                "unknown field `keys`",
            ),
            ("providers = 3\n", "providers"),
            (
                "[[providers]]\nname = \"x\"\nurl = \"http://y\"\n[[providers]]\nname = \"x\"\nurl = \"http://z\"\n",
                "providers = \"x\": two model servers have this name",
            ),
            (
                "[[providers]]\nname = \"x\"\nurl = \"http://y\"\ncalls_at_once = 0\n",
                "x: calls_at_once must be at least 1",
            ),
            (
                "[[providers]]\nname = \"x\"\nurl = \"http://y\"\ncalls_at_once = 481\n[[providers]]\nname = \"z\"\nurl = \"http://z\"\n",
                "add up to more than 512",
            ),
            (
                "[[providers]]\nname = \"x\"\nurl = \"http://y\"\nkey = \"sk-secret\"\nkey_variable = \"K\"\n",
                "not both",
            ),
            ("[[providers]]\nname = \"x\"\nurl = \"http://y\"\nkey = \"sk-secret \\n\"\nkind = \"z\"\n", "z"),
        ] {
            let error = names(&[], file).unwrap_err();
            assert!(error.contains(wanted) && !error.contains("sk-secret"), "{error}");
        }
    }
}
