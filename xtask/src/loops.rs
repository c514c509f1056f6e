//! How long it takes from a change to the answer of the tests, for each package: what whoever works on one
//! waits for.
//!
//! Of a package its library's file is touched, and then its unit tests are built, twice, for the first time
//! builds whatever else is missing; and once more built and run. Figures for `docs/benchmarks.md`.

use crate::{cargo_command, say};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant, SystemTime},
};

/// Prints, for each package or those `named`, the seconds of a loop: to build, and to build and run.
pub(crate) fn measure(named: &[String]) -> Result<(), String> {
    let all = packages()?;
    if let Some(unknown) = named.iter().find(|name| all.iter().all(|package| package.name != **name)) {
        let known: Vec<&str> = all.iter().map(|package| package.name.as_str()).collect();
        return Err(format!(
            "there is no package {unknown:?} with a library; there are {}",
            known.join(", ")
        ));
    }
    for package in all.iter().filter(|package| named.is_empty() || named.contains(&package.name)) {
        package.once(&["--no-run"])?;
        let (built, run) = (package.once(&["--no-run"])?, package.once(&[])?);
        let [built, run] = [built, run].map(|time| time.as_secs_f64());
        say(&format!("{:<22} builds in {built:5.1} s, builds and runs in {run:5.1} s", package.name));
    }
    Ok(())
}

struct Package {
    name: String,
    library: PathBuf,
}

impl Package {
    /// Touches the library and has its unit tests built, and run unless `more` says otherwise.
    fn once(&self, more: &[&str]) -> Result<Duration, String> {
        let touched = File::options().append(true).open(&self.library);
        touched
            .and_then(|file| file.set_modified(SystemTime::now()))
            .map_err(|error| format!("{} cannot be touched: {error}", self.library.display()))?;
        let began = Instant::now();
        let status = cargo_command()
            .args(["test", "--locked", "--quiet", "--package", &self.name, "--lib"])
            .args(more)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .map_err(|error| format!("cargo cannot be started: {error}"))?;
        if status.success() {
            Ok(began.elapsed())
        } else {
            Err(format!("the unit tests of {} fail: {status}", self.name))
        }
    }
}

/// The packages that have a library, by their folders.
fn packages() -> Result<Vec<Package>, String> {
    let mut folders: Vec<PathBuf> = fs::read_dir("crates")
        .map_err(|error| format!("crates/ cannot be read: {error}"))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    folders.push(Path::new("sim").to_owned());
    folders.sort();
    let package = |folder: &PathBuf| {
        let library = folder.join("src/lib.rs");
        let name = format!("octollm-{}", folder.file_name()?.to_str()?);
        library.is_file().then_some(Package { name, library })
    };
    Ok(folders.iter().filter_map(package).collect())
}
