//! The tools on real folders, hostile ones among them.

mod answers;
mod paths;
mod rooms;

use super::{Executor, Settings};
use crate::{
    Arm, Link, Undone, Work,
    worker::unreliable::{UnreliableLeases, grant},
};
use octollm_access::Capability;
use octollm_contract::{
    ArmName,
    names::{DATA_FOLDER_DATABASE, DATA_FOLDER_LOCK, DATA_FOLDER_WITHOUT_DATABASE, PRIVATE_FOLDER},
};
use octollm_plan::{
    Arg, ChangedOn, CountWhat, FindKind, HashKind, InputName, InputValue, Instruction, SizeBound, SortBy,
    StepOutput, ToolCall,
};
use octollm_sandbox::Kernel;
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// A folder to read, one beside it that is not granted, and an executor.
struct Site {
    folder: TempDir,
    leases: Arc<UnreliableLeases>,
    capability: Capability,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["open", "closed", "scratch"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("closed/secret"), "the secret").unwrap();
        let open = folder.path().join("open").to_str().unwrap().to_owned();
        let capability = Capability { read_roots: [open].into(), ..Capability::default() };
        Site { folder, leases: UnreliableLeases::new(), capability }
    }

    fn open(&self, name: &str) -> PathBuf {
        self.folder.path().join("open").join(name)
    }

    fn path(&self, name: &str) -> String {
        self.open(name).to_str().unwrap().trim_end_matches('/').to_owned()
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        fs::create_dir_all(self.open(name).parent().unwrap()).unwrap();
        fs::write(self.open(name), bytes).unwrap();
        self.path(name)
    }

    fn work(&self, call: ToolCall) -> Work {
        let mut grant = grant(0, ArmName::Executor, Instruction::Tool(call));
        grant.spec.capability = self.capability.clone();
        Work {
            cancel: CancellationToken::new(),
            link: Link::new(Arc::clone(&self.leases) as _, grant.token.clone()),
            worker: "w1".parse().unwrap(),
            started: crate::clock::now(),
            refused: Vec::new(),
            grant: Arc::new(grant),
        }
    }

    /// The same, with the input `paths`.
    fn work_on(&self, call: ToolCall, paths: InputValue) -> Work {
        let mut work = self.work(call);
        Arc::make_mut(&mut work.grant).inputs.insert("paths".parse().unwrap(), paths);
        work
    }

    async fn perform(&self, work: Work) -> Result<StepOutput, Undone> {
        let settings =
            Settings { scratch: self.folder.path().join("scratch"), closed: vec![], kernel: Kernel::probe() };
        let done = Executor::new(settings).perform(work).await;
        let left = fs::read_dir(self.folder.path().join("scratch")).unwrap().count();
        assert_eq!(left, 0, "the workspace is removed");
        done.map(|done| done.output)
    }

    async fn run(&self, call: ToolCall) -> StepOutput {
        self.perform(self.work(call)).await.expect("the tool works")
    }

    async fn refused(&self, call: ToolCall) -> String {
        match self.perform(self.work(call)).await {
            Err(Undone::Failed { message, .. }) => message,
            other => panic!("{other:?}"),
        }
    }
}

fn list(path: &str) -> ToolCall {
    let (kind, sort) = (FindKind::Any, SortBy::Name);
    ToolCall::List {
        path: path.into(),
        hidden: false,
        recursive: false,
        kind,
        sort,
        limit: None,
        details: false,
    }
}

fn find(path: &str, name: Option<&str>) -> ToolCall {
    ToolCall::Find {
        path: path.into(),
        name: name.map(str::to_owned),
        max_depth: None,
        hidden: true,
        kind: FindKind::File,
        newer_than: None,
        older_than: None,
        changed: None,
        size: SizeBound::default(),
        sort: SortBy::Name,
        limit: None,
        details: false,
        required: false,
        itself: false,
        if_there: false,
        count: false,
    }
}

fn read(paths: &[&str]) -> ToolCall {
    let paths = Arg::Given(paths.iter().map(|path| (*path).to_owned()).collect());
    ToolCall::ReadFile { paths, first_lines: None, last_lines: None, from_line: None }
}

fn count(what: CountWhat, path: &str) -> ToolCall {
    let paths = Some(Arg::Given(vec![path.to_owned()]));
    ToolCall::Count { what, paths, text: None, name: None, recursive: true }
}

fn search(pattern: &str, path: &str) -> ToolCall {
    let paths = Some(Arg::Given(vec![path.to_owned()]));
    ToolCall::Search {
        pattern: pattern.into(),
        regex: false,
        ignore_case: false,
        paths,
        text: None,
        name: None,
        count: false,
    }
}

#[tokio::test]
async fn a_list_names_entries_and_says_when_there_are_none() {
    let site = Site::new();
    let folder = site.path("");
    assert!(site.run(list(&folder)).await.text.contains("is empty"));
    site.write("b.txt", "b");
    site.write("a/deep.txt", "deep");
    site.write(".hidden", "");
    let output = site.run(list(&folder)).await;
    assert_eq!(output.text, "a/\nb.txt\n");
    assert_eq!(output.number, Some(2));
    assert_eq!(output.paths, Some(vec![site.path("a"), site.path("b.txt")]));
    assert_eq!(output.data["entries"][1]["bytes"], 1);
    assert!(output.provenance.is_some_and(|p| p.made_by == "list" && p.worker == "w1"));
    let (kind, sort) = (FindKind::File, SortBy::Largest);
    let all = ToolCall::List {
        path: folder,
        hidden: true,
        recursive: true,
        kind,
        sort,
        limit: Some(2),
        details: false,
    };
    assert_eq!(site.run(all).await.text, "a/deep.txt\nb.txt\n(the first 2 of 3 entries)\n");
}

/// `ls -l`: what is told of each beside its name.
#[tokio::test]
async fn details_are_permissions_size_and_time() {
    let site = Site::new();
    let file = site.write("f", vec![b'x'; 1234]);
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    let mut call = list(&site.path(""));
    if let ToolCall::List { details, .. } = &mut call {
        *details = true;
    }
    let said = site.run(call).await.text;
    let words: Vec<&str> = said.split_whitespace().collect();
    assert_eq!((words[0], words[1], words[4], words.len()), ("-rw-r-----", "1,234", "f", 5), "{said}");
    let mut call = find(&site.path(""), Some("*.{txt,f}"));
    assert!(site.run(call.clone()).await.text.starts_with("nothing found"));
    if let ToolCall::Find { details, name, .. } = &mut call {
        (*details, *name) = (true, Some("{f,g}".to_owned()));
    }
    let said = site.run(call).await.text;
    assert!(said.starts_with("-rw-r----- ") && said.ends_with(&format!(" {file}\n")), "{said}");
}

#[tokio::test]
async fn finds_fit_every_condition() {
    let site = Site::new();
    site.write("x.log", vec![b'x'; 2000]);
    site.write("d/.y.log", "y");
    site.write("d/z.txt", "z");
    let folder = site.path("");
    let output = site.run(find(&folder, Some("*.log"))).await;
    assert_eq!(output.text, format!("{}\n{}\n", site.path("d/.y.log"), site.path("x.log")));
    assert_eq!(output.number, Some(2));
    let mut large = find(&folder, None);
    if let ToolCall::Find { size, .. } = &mut large {
        *size = SizeBound { at_least: Some(1000), at_most: None };
    }
    assert_eq!(site.run(large).await.paths, Some(vec![site.path("x.log")]));
    let mut shown = find(&folder, Some("*.log"));
    if let ToolCall::Find { hidden, .. } = &mut shown {
        *hidden = false;
    }
    assert_eq!(site.run(shown).await.paths, Some(vec![site.path("x.log")]), "no names with a dot");
    assert!(site.run(find(&folder, Some("*.rs"))).await.text.starts_with("nothing found below"));
}

#[tokio::test]
async fn days_of_the_calendar_are_those_of_the_step() {
    let site = Site::new();
    let (new, old) = (site.write("new", "x"), site.write("old", "x"));
    let long_ago = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::options().write(true).open(&old).unwrap().set_modified(long_ago).unwrap();
    // Midnight may pass between the writing and the step: today would not do.
    for (days, found) in [(ChangedOn::SinceYesterday, new), (ChangedOn::BeforeToday, old)] {
        let mut call = find(&site.path(""), if days == ChangedOn::BeforeToday { Some("old") } else { None });
        if let ToolCall::Find { changed, .. } = &mut call {
            *changed = Some(days);
        }
        assert_eq!(site.run(call).await.paths, Some(vec![found]), "{days:?}");
    }
}

#[tokio::test]
async fn counts_searches_hashes_and_sizes_are_right() {
    let site = Site::new();
    let one = site.write("one", "a b\nc\nlast");
    site.write("two", "x\n");
    let folder = site.path("");
    let number = async |what, path: &str| site.run(count(what, path)).await.number;
    assert_eq!(number(CountWhat::Lines, &one).await, Some(3));
    assert_eq!(number(CountWhat::LineEnds, &one).await, Some(2), "as `wc -l` has it");
    assert_eq!(number(CountWhat::Words, &one).await, Some(4));
    assert_eq!(number(CountWhat::Bytes, &one).await, Some(10));
    assert_eq!(number(CountWhat::Characters, &one).await, Some(10));
    assert_eq!(number(CountWhat::Files, &folder).await, Some(2));
    assert_eq!(number(CountWhat::Lines, &folder).await, Some(4));
    let found = site.run(search("c", &folder)).await;
    assert_eq!(found.text, format!("{one}:2: c\n(1 line in 1 file)\n"));
    assert_eq!(found.paths, Some(vec![one.clone()]));
    let hashed = ToolCall::Hash { kind: HashKind::Md5, paths: None, text: Some(Arg::Given("abc".into())) };
    assert_eq!(site.run(hashed).await.text, "900150983cd24fb0d6963f7d28e17f72\n");
    let hashed =
        ToolCall::Hash { kind: HashKind::Sha1, paths: Some(Arg::Given(vec![one.clone()])), text: None };
    assert!(site.run(hashed).await.text.ends_with(&format!("  {one}\n")));
    fs::hard_link(&one, site.open("same")).unwrap();
    let used = site.run(ToolCall::DiskUse { paths: Arg::Given(vec![folder]) }).await;
    assert_eq!(used.number, Some(12), "a file with two names counts once");
    let differ = site.run(ToolCall::Compare { left: one, right: site.path("two") }).await;
    assert!(differ.text.contains("differ, first at byte 1 in line 1"), "{}", differ.text);
    let same = site.run(ToolCall::Compare { left: site.path("one"), right: site.path("same") }).await;
    assert!(same.text.contains("are the same"));
}

#[tokio::test]
async fn a_file_is_read_in_part_and_what_is_no_text_is_said() {
    let site = Site::new();
    let path = site.write("f", "1\n2\n3\n");
    let part = async |first_lines, last_lines| {
        let call = ToolCall::ReadFile {
            paths: Arg::Given(vec![path.clone()]),
            first_lines,
            last_lines,
            from_line: None,
        };
        site.run(call).await.text
    };
    assert_eq!(part(None, None).await, "1\n2\n3\n");
    assert_eq!(part(Some(2), None).await, "1\n2\n");
    assert_eq!(part(None, Some(1)).await, "3\n");
    let odd = site.write("odd", b"a\xffb");
    assert!(site.run(read(&[&odd])).await.text.contains("not all of it is UTF-8"));
}

/// P6: no path, link or change of the tree leads out of the granted roots.
#[tokio::test]
async fn nothing_outside_the_roots_is_read() {
    let site = Site::new();
    let closed = site.folder.path().join("closed");
    symlink(closed.join("secret"), site.open("link")).unwrap();
    symlink("../closed", site.open("way")).unwrap();
    symlink("loop", site.open("loop")).unwrap();
    symlink("/proc/self/root", site.open("magic")).unwrap();
    site.write("inside", "fine");
    symlink(site.open("inside"), site.open("good")).unwrap();
    let secret = closed.join("secret").to_str().unwrap().to_owned();
    let dots = format!("{}/../closed/secret", site.path(""));
    for path in
        [site.path("link"), site.path("way/secret"), secret.clone(), dots, site.path("magic/etc/passwd")]
    {
        for call in [read(&[&path]), count(CountWhat::Lines, &path), search("s", &path), list(&path)] {
            let said = site.refused(call).await;
            assert!(!said.contains("the secret"), "{said}");
            assert!(
                ["leads out", "none of the folders", "plain", "not a folder"]
                    .iter()
                    .any(|w| said.contains(w)),
                "{said}"
            );
        }
    }
    assert!(site.refused(read(&[&site.path("loop")])).await.contains("cannot be read"));
    assert_eq!(site.run(read(&[&site.path("good")])).await.text, "fine\n");
    let listed = site.run(list(&site.path(""))).await.text;
    assert_eq!(listed, "good\ninside\nlink\nloop\nmagic\nway\n");
    let all = site.run(search("s", &site.path(""))).await;
    assert!(!all.text.contains("secret"), "{}", all.text);
    assert!(site.refused(read(&["relative"])).await.contains("plain absolute"));
}

/// P6: a root that is a link counts only where what it leads to is the policy's own.
#[tokio::test]
async fn a_root_that_is_a_link_is_held_within_the_policy() {
    let mut site = Site::new();
    let way = site.path("way");
    symlink(site.folder.path().join("closed"), &way).unwrap();
    let secret = format!("{way}/secret");
    site.capability.read_roots = [way.clone()].into();
    site.capability.read_within = [site.path("")].into();
    assert!(site.refused(read(&[&secret])).await.contains("leads out"));
    site.capability.read_within = [way].into();
    assert_eq!(site.run(read(&[&secret])).await.text, "the secret\n", "the policy names the link itself");
    let file = site.write("only", "this");
    site.write("other", "that");
    site.capability = Capability { read_roots: [file.clone()].into(), ..Capability::default() };
    assert_eq!(site.run(read(&[&file])).await.text, "this\n");
    assert!(site.refused(read(&[&site.path("other")])).await.contains("none of the folders"));
}

/// P6: what waits or acts when it is opened is not opened; the kernel's own files are no files.
#[tokio::test]
async fn special_files_are_never_opened() {
    let mut site = Site::new();
    site.write("plain", "needle\n");
    let fifo = site.path("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(site.open("socket")).unwrap();
    let said = site.refused(read(&[&fifo])).await;
    assert!(said.contains("is a FIFO, which is never read"), "{said}");
    let found = site.run(search("needle", &site.path(""))).await;
    assert_eq!(found.number, Some(1));
    assert_eq!(site.run(list(&site.path(""))).await.text, "fifo\nplain\nsocket\n");
    site.capability.read_roots = ["/proc".to_owned(), "/dev".to_owned()].into();
    assert!(site.refused(read(&["/proc/self/environ"])).await.contains("never read"));
    assert!(site.refused(list("/proc")).await.contains("kernel's own"));
    assert!(site.refused(read(&["/dev/zero"])).await.contains("is a device"));
    // What this process was given to read is not the user's to name, whatever it is.
    for open in ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0", "/proc/self/cwd/Cargo.toml"] {
        site.capability.read_roots = [open.to_owned()].into();
        let said = site.refused(read(&[open])).await;
        assert!(said.contains("kernel's own"), "{said}");
    }
    for (named, target) in
        [("to-stdin", "/dev/stdin"), ("to-fifo", fifo.as_str()), ("to-device", "/dev/zero")]
    {
        let link = site.path(named);
        std::os::unix::fs::symlink(target, &link).unwrap();
        site.capability.read_roots = [link.clone()].into();
        let said = site.refused(read(&[&link])).await;
        assert!(said.contains("never read"), "{said}");
    }
}

/// P10: what a tool remarks for people is not what a later step counts.
#[tokio::test]
async fn remarks_are_not_handed_to_the_next_step() {
    let site = Site::new();
    site.write("empty", "");
    let call = ToolCall::ReadFile {
        paths: Arg::Given(vec![site.path("empty")]),
        first_lines: None,
        last_lines: None,
        from_line: None,
    };
    let output = site.run(call).await;
    assert!(output.text.contains("is empty"), "{}", output.text);
    let handed_on = |output: StepOutput| output.value(octollm_plan::ValueType::Text);
    let nothing = Some(octollm_plan::InputValue::Text(String::new()));
    assert_eq!(handed_on(output), nothing);
    fs::create_dir(site.open("none")).unwrap();
    let hash = ToolCall::Hash {
        kind: HashKind::Sha256,
        paths: Some(Arg::Given(vec![site.path("none")])),
        text: None,
    };
    for call in
        [list(&site.path("none")), find(&site.path(""), Some("*.c")), search("x", &site.path("")), hash]
    {
        let output = site.run(call.clone()).await;
        assert!(!output.text.is_empty(), "{call:?}");
        assert_eq!(handed_on(output), nothing, "{call:?}");
    }
    site.write("two", "x1\nx2\n");
    let found = handed_on(site.run(search("x", &site.path("two"))).await);
    let Some(octollm_plan::InputValue::Text(lines)) = found else { panic!("{found:?}") };
    assert_eq!(lines.lines().count(), 2, "{lines}");
}

/// A text of an earlier step is searched in pieces, between which the tool stops.
#[tokio::test]
async fn a_search_in_a_text_stops_and_its_pattern_is_bounded() {
    let site = Site::new();
    let call = |pattern: &str| ToolCall::Search {
        pattern: pattern.into(),
        regex: true,
        ignore_case: false,
        paths: None,
        text: Some(Arg::Given("a".into())),
        name: None,
        count: false,
    };
    let work = site.work(call("a"));
    work.cancel.cancel();
    assert_eq!(site.perform(work).await.unwrap_err(), Undone::Stopped);
    assert!(site.refused(call("[a-z]{3000}[a-z]{9000}[a-z]{9000}")).await.contains("size limit"));
}

/// P7: a server's data, its artefacts wherever they lie, and what other steps of an arm work on hold every
/// tenant's; no tool goes into such folders, whatever it may read.
#[tokio::test]
async fn a_private_folder_is_closed_to_every_tool() {
    let site = Site::new();
    let data = [DATA_FOLDER_LOCK, DATA_FOLDER_DATABASE];
    let elsewhere = [DATA_FOLDER_LOCK, DATA_FOLDER_WITHOUT_DATABASE];
    for (folder, marks) in
        [("data", data.as_slice()), ("other", &elsewhere), ("artefacts", &[PRIVATE_FOLDER])]
    {
        fs::create_dir_all(site.open(&format!("{folder}/deep"))).unwrap();
        fs::write(site.open(&format!("{folder}/deep/file")), "needle").unwrap();
        for mark in marks {
            fs::write(site.open(&format!("{folder}/{mark}")), "needle").unwrap();
        }
        for inside in ["", "/deep", "/deep/file"] {
            let said = site.refused(list(&site.path(&format!("{folder}{inside}")))).await;
            assert!(said.contains("own data, which is never read"), "{said}");
        }
    }
    fs::write(site.open("beside"), "needle").unwrap();
    let search = ToolCall::Search {
        pattern: "needle".into(),
        regex: false,
        ignore_case: false,
        paths: Some(Arg::Given(vec![site.path("")])),
        text: None,
        name: None,
        count: false,
    };
    assert_eq!(site.run(search).await.paths, Some(vec![site.path("beside")]));
}

/// P10: a large answer is cut for people and kept whole.
#[tokio::test]
async fn a_large_folder_is_listed_whole_in_an_artefact() {
    let site = Site::new();
    (0..20_000).for_each(|n| fs::write(site.open(&format!("file-{n:06}")), "").unwrap());
    let output = site.run(list(&site.path(""))).await;
    assert_eq!(output.number, Some(20_000));
    assert_eq!(output.paths.map(|paths| paths.len()), Some(20_000));
    assert!(output.text.len() < 66_000 && output.text.contains("(cut here; all "), "{}", output.text.len());
    assert_eq!(output.data["cut"], true);
    let kept = &output.artefacts[0];
    assert_eq!(kept.path, "octollm-output/s0.txt");
    let whole = site.leases.artefact(kept.sha256).unwrap();
    assert_eq!(String::from_utf8_lossy(&whole).lines().count(), 20_000);
}

/// P10: a step that works on the text of a large answer sees all of it, not its beginning.
#[tokio::test]
async fn the_next_step_counts_the_whole_of_a_cut_text() {
    let site = Site::new();
    (0..20_000).for_each(|n| fs::write(site.open(&format!("file-{n:06}")), "").unwrap());
    let listed = site.run(list(&site.path(""))).await;
    let input: InputName = "t".parse().unwrap();
    let call = ToolCall::Count {
        what: CountWhat::Lines,
        paths: None,
        text: Some(Arg::Input(input.clone())),
        name: None,
        recursive: false,
    };
    let mut work = site.work(call);
    let value = listed.value(octollm_plan::ValueType::Text).unwrap();
    Arc::get_mut(&mut work.grant).unwrap().inputs.insert(input, value);
    assert_eq!(site.perform(work).await.unwrap().number, Some(20_000));
}

#[tokio::test]
async fn a_cancelled_tool_stops() {
    let site = Site::new();
    let work = site.work(count(CountWhat::Files, &site.path("")));
    site.write("x", "x");
    work.cancel.cancel();
    assert_eq!(site.perform(work).await.unwrap_err(), Undone::Stopped);
}

#[test]
fn every_tool_is_listed_by_its_name() {
    let settings = Settings { scratch: Path::new("/").to_owned(), closed: vec![], kernel: Kernel::probe() };
    let tools = Executor::new(settings).tools();
    assert!(tools.contains(&"list") && tools.contains(&"http_fetch"));
    assert_eq!(tools.contains(&"shell"), Kernel::probe().can_lock().is_ok());
}
