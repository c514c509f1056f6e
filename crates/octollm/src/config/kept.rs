//! Where artefacts are kept, when not in the data folder.

use super::{
    ConfigError, Role, Sources,
    settings::{given, invalid, missing, optional},
};
use octollm_artefacts::{Bucket, Keys, S3};
use std::path::PathBuf;

/// Where artefacts are kept.
#[derive(Clone, Debug)]
pub(crate) enum Kept {
    /// In a folder of their own.
    Folder(PathBuf),
    /// In a bucket.
    Bucket(S3),
}

/// What `artefacts` says, and for a bucket the settings `s3_…`, which nobody else reads.
pub(super) fn kept(sources: &Sources, role: &Role) -> Result<Option<Kept>, ConfigError> {
    let place = optional(sources, "artefacts");
    // Any other address is a mistake, and no folder.
    let Some(place) = place.filter(|place| begins_as_an_address(place)) else {
        let folder = place.map(|place| Kept::Folder(PathBuf::from(place)));
        return unread(sources, role).map_or(Ok(folder), Err);
    };
    let bucket: Bucket = place.trim().parse().map_err(|error| {
        invalid(sources, "artefacts", format!("{error}; a folder of this name is written ./{place}"))
    })?;
    let needed = |key: &'static str| match optional(sources, key) {
        Some(text) if text.chars().all(|c| c.is_ascii_graphic()) => Ok(text.to_owned()),
        Some(_) => Err(invalid(sources, key, "it holds a space or something that is no letter".into())),
        None => Err(missing(sources, key, format!("{bucket} needs it"))),
    };
    let keys = Keys { access: needed("s3_access_key")?, secret: needed("s3_secret_key")? };
    let (endpoint, region) = (given(sources, "s3_endpoint")?, needed("s3_region")?);
    Ok(Some(Kept::Bucket(S3 { bucket, endpoint, region, keys })))
}

/// A setting of a bucket where there is none: artefacts would go into a folder unnoticed. An arm keeps none, and may
/// share the environment of who does.
fn unread(sources: &Sources, role: &Role) -> Option<ConfigError> {
    let set = ["s3_endpoint", "s3_access_key", "s3_secret_key"].into_iter();
    let set = set.filter(|_| !matches!(role, Role::Arms(_))).find(|key| optional(sources, key).is_some());
    set.map(|key| {
        let why = "artefacts names no bucket, so nothing is kept there: set artefacts (OCTOLLM_ARTEFACTS) to \
                   s3://bucket/prefix, or leave this out";
        invalid(sources, key, why.to_owned())
    })
}

/// `s3:/x`, `s3:x`, `gs://x`: a scheme stands before the first slash. A folder of such a name is `./s3:x`.
fn begins_as_an_address(place: &str) -> bool {
    let Some((scheme, _)) = place.split_once(':') else { return false };
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn with(flags: &[(&'static str, &str)]) -> Result<Option<Kept>, String> {
        let flags: Vec<_> = flags.iter().map(|(k, v)| (*k, (*v).to_owned())).collect();
        let sources = Sources::gather(None, &BTreeMap::new(), &[], &flags).unwrap();
        kept(&sources, &Role::All).map_err(|error| error.to_string())
    }

    #[test]
    fn a_folder_needs_nothing_and_a_bucket_its_keys() {
        assert!(with(&[]).unwrap().is_none());
        assert!(matches!(with(&[("artefacts", "/srv/a")]), Ok(Some(Kept::Folder(_)))));
        for folder in [&[][..], &[("artefacts", "/srv/a")]] {
            for setting in ["s3_endpoint", "s3_access_key", "s3_secret_key"] {
                let error = with(&[folder, &[(setting, "x")]].concat()).unwrap_err();
                assert!(error.contains(setting) && error.contains("OCTOLLM_ARTEFACTS"), "{error}");
            }
            assert!(with(&[folder, &[("s3_endpoint", "")]].concat()).is_ok(), "it is empty");
        }
        let arm = "arm:executor".parse().unwrap();
        let shared = Sources::gather(None, &BTreeMap::new(), &[], &[("s3_access_key", "x".into())]).unwrap();
        assert!(kept(&shared, &arm).unwrap().is_none(), "an arm keeps nothing");
        let bucket = ("artefacts", "s3://abc/d");
        let keys = [("s3_access_key", "a"), ("s3_secret_key", "b")];
        assert!(with(&[bucket]).unwrap_err().contains("s3_access_key"));
        assert!(with(&[bucket, keys[0]]).unwrap_err().contains("s3_secret_key"));
        let Ok(Some(Kept::Bucket(s3))) = with(&[bucket, keys[0], keys[1]]) else { panic!("a bucket") };
        assert_eq!((s3.bucket.to_string().as_str(), s3.region.as_str()), ("s3://abc/d", "us-east-1"));
        assert!(s3.endpoint.is_none());
        let bad = with(&[bucket, keys[0], keys[1], ("s3_endpoint", "s3.example.com")]);
        assert!(bad.unwrap_err().contains("s3_endpoint"));
        for no_bucket in ["gs://abc", "s3:/x", "s3:x", "s3:", "file:///srv/a", "S3:/x"] {
            let error = with(&[("artefacts", no_bucket)]).unwrap_err();
            assert!(error.contains("no bucket such as s3://") && error.contains("./"), "{error}");
        }
        assert!(matches!(with(&[("artefacts", "./s3:x")]), Ok(Some(Kept::Folder(_)))));
        assert!(matches!(with(&[("artefacts", "/srv/a:b")]), Ok(Some(Kept::Folder(_)))));
    }
}
