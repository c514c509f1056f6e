//! Strict schema validation of what `deploy/` makes: each overlay against each supported Kubernetes version, with the
//! schemas that the Kubernetes project publishes.
//!
//! Promises to fail when the validator accepts a field that no version has, so a validator that checks nothing is not
//! taken for a pass. Kinds of other projects have no schema there; `crates/scaling/tests/crds.rs` types them.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{run, say};

const VALIDATOR: &str = "kubernetes-validate==1.37.0";
/// The minor versions of Kubernetes that `deploy/` supports.
const MINORS: std::ops::RangeInclusive<u32> = 30..=37;
const MISSPELT: &str = "\
apiVersion: v1
kind: Service
metadata: {name: a}
spec: {port: [{port: 80}]}
";

/// Builds every overlay and validates it. `kubectl` has to be there; the validator is installed beside the build.
pub(crate) fn check() -> Result<(), String> {
    let folder = PathBuf::from(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()));
    let folder = folder.join("manifests");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let validator = validator(&folder)?;
    let misspelt = folder.join("misspelt.yaml");
    fs::write(&misspelt, MISSPELT).map_err(|error| format!("{}: {error}", misspelt.display()))?;
    for minor in MINORS {
        if accepts(&validator, minor, &misspelt)? {
            return Err(format!("{VALIDATOR} accepts an unknown field for 1.{minor}: it checks nothing"));
        }
    }
    let mut refused = Vec::new();
    for overlay in overlays()? {
        let built = build(&overlay, &folder)?;
        for minor in MINORS {
            if !accepts(&validator, minor, &built)? {
                refused.push(format!("{} on 1.{minor}", overlay.display()));
            }
        }
        say(&format!("{}: 1.{} to 1.{}", overlay.display(), MINORS.start(), MINORS.end()));
    }
    if refused.is_empty() { Ok(()) } else { Err(format!("refused: {}", refused.join(", "))) }
}

/// The validator in an environment of its own.
fn validator(folder: &Path) -> Result<PathBuf, String> {
    let environment = folder.join(VALIDATOR.replace("==", "-"));
    let program = environment.join("bin/kubernetes-validate");
    if !program.is_file() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
        run(Command::new(environment.join("bin/pip")).args(["install", "--quiet", VALIDATOR]))?;
    }
    Ok(program)
}

fn overlays() -> Result<Vec<PathBuf>, String> {
    let folder = Path::new("deploy/overlays");
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut overlays: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    overlays.retain(|path| path.join("kustomization.yaml").is_file());
    overlays.sort();
    if overlays.is_empty() { Err(format!("{} holds no overlay", folder.display())) } else { Ok(overlays) }
}

/// What `kubectl kustomize` makes of one overlay, in a file.
fn build(overlay: &Path, folder: &Path) -> Result<PathBuf, String> {
    let output = Command::new("kubectl")
        .arg("kustomize")
        .arg(overlay)
        .output()
        .map_err(|error| format!("kubectl cannot be started ({error}); install it and repeat"))?;
    if !output.status.success() {
        return Err(format!(
            "kubectl kustomize {}: {}",
            overlay.display(),
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    let name = overlay.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let path = folder.join(format!("{name}.yaml"));
    fs::write(&path, output.stdout).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

fn accepts(validator: &Path, minor: u32, file: &Path) -> Result<bool, String> {
    let version = format!("1.{minor}.0");
    let quiet = file.ends_with("misspelt.yaml");
    let mut command = Command::new(validator);
    command.args(["--strict", "--no-warn", "--quiet", "-k", &version]).arg(file);
    if quiet {
        command.stdout(Stdio::null()).stderr(Stdio::null());
    }
    let status = command.status().map_err(|error| format!("{VALIDATOR} cannot be started: {error}"))?;
    Ok(status.success())
}
