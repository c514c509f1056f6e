//! `octollm run --out` with a folder that cannot take the files: what may have been paid for is not lost.

use crate::{full_disk::SmallDisk, server::program};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A text that is longer than an output shows, so that its whole is a file of the task.
fn long_text() -> String {
    (0..20_000).map(|n| format!("line {n}\n")).collect()
}

/// Runs in `here`, with files for `out`.
fn run(here: &Path, out: &Path) -> Output {
    let notes = here.join("notes.txt");
    fs::write(&notes, long_text()).expect("a file");
    Command::new(program())
        .args(["run", &format!("read {}", notes.display()), "--out"])
        .arg(out)
        .current_dir(here)
        .env_clear()
        .env("HOME", here)
        .output()
        .expect("the program starts")
}

/// What lies in a folder and below it, by path.
fn files(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else {
                let name = entry.strip_prefix(folder).expect("it lies below").to_owned();
                found.insert(name, fs::read_to_string(&entry).expect("text"));
            }
        }
    }
    found
}

/// The folder that the run has made of its own accord in `here`.
fn own(here: &Path) -> Option<PathBuf> {
    let mut names = fs::read_dir(here).expect("a folder").map(|entry| entry.expect("an entry").path());
    names
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("octollm-task_")))
}

/// The run has failed over `out`, says so, and its files lie whole in a folder of its own.
fn are_saved(here: &Path, output: &Output, out: &Path) -> BTreeMap<PathBuf, String> {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let own = own(here).expect("a folder octollm-<task id>");
    let name = own.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(said.contains("error: ") && said.contains(&out.display().to_string()), "{said}");
    assert!(said.contains(&format!("1 file in {name}")), "{said}");
    let saved = files(&own);
    assert_eq!(saved.values().collect::<Vec<_>>(), [&long_text()]);
    saved
}

#[test]
fn a_folder_that_takes_the_files_gets_them_and_no_other_does() {
    let here = tempfile::tempdir().expect("a folder");
    let out = here.path().join("out");
    let output = run(here.path(), &out);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(files(&out).into_values().collect::<Vec<_>>(), [long_text()]);
    assert_eq!(own(here.path()), None);
}

/// Nobody can make a folder there, whoever they are.
#[test]
fn a_folder_that_cannot_be_made_costs_no_file() {
    let here = tempfile::tempdir().expect("a folder");
    let out = Path::new("/proc/self/no-such-folder");
    are_saved(here.path(), &run(here.path(), out), out);
}

#[test]
fn a_folder_that_has_such_a_file_keeps_its_own() {
    let here = tempfile::tempdir().expect("a folder");
    let out = here.path().join("out");
    run(here.path(), &out);
    let (name, _) = files(&out).pop_first().expect("a file");
    fs::write(out.join(&name), "mine").expect("a file");
    let saved = are_saved(here.path(), &run(here.path(), &out), &out);
    assert_eq!(saved.keys().collect::<Vec<_>>(), [&name]);
    assert_eq!(files(&out).into_values().collect::<Vec<_>>(), ["mine"]);
}

#[test]
fn a_full_disk_costs_no_file_and_keeps_no_half_of_one() {
    let here = tempfile::tempdir().expect("a folder");
    let out = here.path().join("out");
    fs::create_dir(&out).expect("a folder");
    let Some(disk) = SmallDisk::over(out.clone()) else {
        println!("not tried: mounting a small disk takes root");
        return;
    };
    let filler = disk.fill();
    // Space for the beginning of the file.
    let full = fs::OpenOptions::new().write(true).open(&filler).expect("the file");
    full.set_len(full.metadata().expect("a file").len() - 64 * 1024).expect("it is cut");
    are_saved(here.path(), &run(here.path(), &out), &out);
    fs::remove_file(filler).expect("the file");
    assert_eq!(files(&out), BTreeMap::new());
}

/// Runs a goal without `--out` in `cwd`; what it makes of its own accord may lie in `here` alone.
fn run_uninvited(cwd: &Path, here: &Path, arguments: &[&str]) -> Output {
    Command::new(program())
        .arg("run")
        .args(arguments)
        .current_dir(cwd)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", here)
        .env("TMPDIR", here)
        .output()
        .expect("the program starts")
}

/// Nobody can make a folder where the run stands: the files go among the temporary ones, and the goal was
/// reached.
#[test]
fn a_working_folder_that_takes_nothing_costs_no_file() {
    let here = tempfile::tempdir().expect("a folder");
    let output = run_uninvited(Path::new("/proc"), here.path(), &["run `touch made.txt`"]);
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("landlock") {
        println!("this kernel has no rooms: {said}");
        return;
    }
    assert_eq!(output.status.code(), Some(0), "{said}");
    let own = own(here.path()).expect("a folder octollm-<task id>");
    assert!(said.contains(&format!("1 file in {}", own.display())), "{said}");
    assert_eq!(files(&own).into_keys().collect::<Vec<_>>(), [Path::new("made.txt")]);
}

/// A goal that only reads leaves nothing where it was said: who reads the output gets all of it.
#[test]
fn a_long_output_goes_whole_to_whoever_reads_it_and_into_no_file() {
    let (here, apart) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let notes = here.path().join("notes.txt");
    fs::write(&notes, long_text()).expect("a file");
    let goal = format!("read {}", notes.display());
    let left = || {
        let mut left: Vec<PathBuf> = [here.path(), apart.path()]
            .iter()
            .flat_map(|folder| files(folder).into_keys())
            .filter(|path| !path.starts_with(".cache"))
            .collect();
        left.retain(|path| path != Path::new("notes.txt"));
        left
    };
    let output = run_uninvited(here.path(), apart.path(), &[&goal]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!((String::from_utf8_lossy(&output.stdout).as_ref(), left()), (long_text().as_str(), vec![]));
    let output = run_uninvited(here.path(), apart.path(), &[&goal, "--json"]);
    let said = String::from_utf8_lossy(&output.stdout);
    let task: serde_json::Value = serde_json::from_str(said.lines().last().expect("a line")).expect("JSON");
    assert_eq!(task["result"]["text"], long_text());
    // Of several steps each one's is whole.
    let output = run_uninvited(here.path(), apart.path(), &[&format!("{goal} and then {goal}")]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!((said.matches("line 19999\n").count(), left()), (2, vec![]), "{}", said.len());
}

/// `run` of a goal without quotes: `script` gives it a terminal of its own.
fn run_on_a_terminal(goal: &str, here: &Path, home: &Path, temporary: &Path) -> Output {
    let run = format!("{} run '{goal}'", program().display());
    Command::new("script")
        .args(["-qec", &run, "/dev/null"])
        .current_dir(here)
        .env("HOME", home)
        .env("TMPDIR", temporary)
        .stdin(std::process::Stdio::null())
        .output()
        .expect("util-linux has script")
}

/// A terminal is shown a beginning, and is told where all of it is: not in the working folder.
#[test]
fn a_long_output_on_a_terminal_is_a_beginning_and_a_file_among_the_temporary_ones() {
    let (here, apart) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    fs::write(here.path().join("notes.txt"), long_text()).expect("a file");
    let output = run_on_a_terminal("read ./notes.txt", here.path(), apart.path(), apart.path());
    let said = String::from_utf8_lossy(&output.stdout);
    let shown: String = said.chars().rev().take(600).collect::<Vec<_>>().into_iter().rev().collect();
    assert!(
        output.status.success() && said.contains("line 100\r") && !said.contains("line 19999"),
        "{shown}"
    );
    assert_eq!(files(here.path()).into_keys().collect::<Vec<_>>(), [Path::new("notes.txt")]);
    let own = own(apart.path()).expect("a folder octollm-<task id>");
    let (kept, text) = files(&own).pop_first().expect("a file");
    assert!(said.contains(&format!("all of the output is in {}", own.join(kept).display())), "{shown}");
    assert_eq!(text, long_text());
}

/// What steps have made is put before a text is that nobody asked for, and where that has no place nothing has
/// failed.
#[test]
fn temporary_files_that_have_no_place_cost_no_file_of_a_step() {
    let (here, apart) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    fs::write(here.path().join("notes.txt"), long_text()).expect("a file");
    let goal = "run `touch made.txt` and then read ./notes.txt";
    let output = run_on_a_terminal(goal, here.path(), apart.path(), Path::new("/proc/self/no-such-folder"));
    let said = String::from_utf8_lossy(&output.stdout);
    if said.contains("landlock") {
        println!("this kernel has no rooms: {said}");
        return;
    }
    let shown: String = said.chars().rev().take(600).collect::<Vec<_>>().into_iter().rev().collect();
    assert!(said.contains("all of the output is put nowhere: "), "{shown}");
    let own = own(here.path()).expect("a folder octollm-<task id>");
    assert_eq!(files(&own).into_keys().collect::<Vec<_>>(), [Path::new("made.txt")]);
    assert!(output.status.success(), "{shown}");
}

/// P10: `~` is never a folder that nobody named.
#[test]
fn a_home_that_is_no_whole_path_is_none() {
    let here = tempfile::tempdir().expect("a folder");
    for home in ["", "relative"] {
        let output = Command::new(program())
            .args(["run", "list ~"])
            .current_dir(here.path())
            .env_clear()
            .env("HOME", home)
            .env("TMPDIR", here.path())
            .output()
            .expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains("home folder"), "{home:?}: {said}");
        assert_eq!(fs::read_dir(here.path()).expect("a folder").count(), 0, "nothing is made");
    }
}
