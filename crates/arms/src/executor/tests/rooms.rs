//! What a step leaves in its workspace, and programs in their locked room.

use super::{Site, read};
use crate::Undone;
use octollm_artefacts::Manifest;
use octollm_plan::{Arg, Instruction, ToolCall};
use octollm_sandbox::Kernel;
use std::sync::Arc;

/// A written file is in the manifest that the next step starts from.
#[tokio::test]
async fn a_workspace_goes_from_step_to_step() {
    let mut site = Site::new();
    let write = |path: &str| ToolCall::WriteFile { path: path.into(), content: Arg::Given("text".into()) };
    assert!(site.refused(write("a")).await.contains("no capability"));
    site.capability.writes_workspace = true;
    let output = site.run(write("d/a.txt")).await;
    assert_eq!(output.artefacts[0].path, "d/a.txt");
    let manifest = output.workspace.expect("a new manifest");
    let bytes = site.leases.artefact(manifest).unwrap();
    assert_eq!(Manifest::from_bytes(&bytes).unwrap().files().count(), 1);
    for bad in ["../x", "/etc/x", "", "a/"] {
        assert!(site.refused(write(bad)).await.contains("not a path inside"), "{bad}");
    }
    assert!(site.refused(write("octollm-output/x")).await.contains("the folder of whole outputs"));
    let mut next = site.work(read(&["d/a.txt"]));
    Arc::get_mut(&mut next.grant).unwrap().workspace = Some(manifest);
    assert_eq!(site.perform(next).await.unwrap().text, "text\n");
}

fn shell(argv: &[&str], any_exit: bool) -> ToolCall {
    ToolCall::Shell { argv: argv.iter().map(|a| (*a).to_owned()).collect(), stdin: None, any_exit }
}

/// P6: programs run in the locked room, with the granted roots and nothing else to read.
#[tokio::test]
async fn a_program_runs_in_the_room_or_is_refused() {
    let mut site = Site::new();
    assert!(site.refused(shell(&["cat", "x"], false)).await.contains("no capability to run \"cat\""));
    site.capability.commands = ["cat".to_owned(), "false".to_owned(), "sleep".to_owned()].into();
    let path = site.write("seen", "from the root");
    if let Err(lacking) = Kernel::probe().can_lock() {
        let said = site.refused(shell(&["cat", &path], false)).await;
        assert!(said.contains("programs are refused on this machine"), "{said} {lacking}");
        return;
    }
    let output = site.run(shell(&["cat", &path], false)).await;
    assert_eq!((output.text.as_str(), output.exit_code), ("from the root", Some(0)));
    let secret = site.folder.path().join("closed/secret");
    let said = site.refused(shell(&["cat", secret.to_str().unwrap()], false)).await;
    assert!(said.contains("cat ended with exit code 1") && !said.contains("the secret"), "{said}");
    let output = site.run(shell(&["false"], true)).await;
    assert_eq!((output.text.as_str(), output.exit_code), ("(exit code 1)\n", Some(1)));
    let work = site.work(shell(&["sleep", "60"], false));
    let cancel = work.cancel.clone();
    let (done, ()) = tokio::join!(site.perform(work), async { cancel.cancel() });
    assert_eq!(done.unwrap_err(), Undone::Stopped);
    site.capability.shell = true;
    site.capability.writes_workspace = true;
    let script = ToolCall::ShellString { script: "echo hi > made; cat made".into(), any_exit: false };
    let output = site.run(script).await;
    assert_eq!((output.text.as_str(), output.artefacts[0].path.as_str()), ("hi\n", "made"));
}

/// P10: "it is empty" and "there is no such file" are no words about the folder of whoever asked.
#[tokio::test]
async fn a_program_that_could_read_nothing_is_told_to_have_run_in_an_empty_folder() {
    if Kernel::probe().can_lock().is_err() {
        return; // programs are refused here, which the test above checks
    }
    let mut site = Site::new();
    site.capability.commands = ["ls".to_owned(), "cat".to_owned()].into();
    let granted = site.run(shell(&["ls"], false)).await;
    assert_eq!(
        (granted.text.as_str(), granted.data.get("empty_folder")),
        ("(the program said nothing)\n", None)
    );
    site.capability.read_roots.clear();
    let output = site.run(shell(&["ls"], false)).await;
    assert!(output.text.contains("in an empty folder of its own"), "{}", output.text);
    assert_eq!(output.data["empty_folder"], true);
    assert_eq!(
        output.value(octollm_plan::ValueType::Text),
        Some(octollm_plan::InputValue::Text(String::new()))
    );
    // What it prints is not about any folder.
    site.capability.commands.insert("uname".to_owned());
    let output = site.run(shell(&["uname"], false)).await;
    assert_eq!((output.text.as_str(), &output.data["empty_folder"]), ("Linux\n", &serde_json::json!(true)));
    // What it is given to read is about no folder either.
    site.capability.commands.insert("tac".to_owned());
    let given = Some(Arg::Given("a\nb\n".to_owned()));
    let filter = ToolCall::Shell { argv: vec!["tac".to_owned()], stdin: given, any_exit: false };
    assert_eq!(site.run(filter).await.text, "b\na\n");
    // Nor has one run that is not there.
    site.capability.commands.insert("no-such-program".to_owned());
    let said = site.refused(shell(&["no-such-program"], false)).await;
    assert!(!said.contains("empty folder"), "{said}");
    let said = site.refused(shell(&["cat", "notes.txt"], false)).await;
    assert!(said.contains("No such file") && said.contains("in an empty folder of its own"), "{said}");
}

/// What a goal's command leaves in its folder is the task's.
#[tokio::test]
async fn the_files_of_a_command_are_artefacts() {
    if Kernel::probe().can_lock().is_err() {
        return; // programs are refused here, which the test above checks
    }
    let mut site = Site::new();
    let plan = octollm_plan::rules::plan("run the command touch a.txt", &Default::default()).unwrap();
    let Instruction::Tool(call) = plan.steps[0].instruction.clone() else { panic!("{plan:?}") };
    site.capability = plan.steps[0].capability.clone();
    let output = site.run(call).await;
    let paths: Vec<&str> = output.artefacts.iter().map(|artefact| artefact.path.as_str()).collect();
    assert_eq!((paths, output.workspace.is_some()), (vec!["a.txt"], true));
}

/// P10: of an output that was not kept whole it is not said that all of it was.
/// P10: a result that names some of the files does not pass for all of them.
#[tokio::test]
async fn what_a_program_left_that_is_no_artefact_is_told() {
    if Kernel::probe().can_lock().is_err() {
        return; // programs are refused here, which a test above checks
    }
    let mut site = Site::new();
    site.capability.commands = ["ln".to_owned(), "mkfifo".to_owned(), "touch".to_owned()].into();
    site.capability.writes_workspace = true;
    let output = site.run(shell(&["touch", "kept", "a\nforged: line"], false)).await;
    let why = "its name cannot be kept: it has control characters, is not UTF-8, or is too long or too deep";
    let told = format!("(Left out of the task's files: a\\nforged: line ({why}))\n");
    assert!(output.text.ends_with(&told), "{}", output.text);
    let entries = serde_json::json!([{ "path": "a\\nforged: line", "why": why }]);
    assert_eq!(output.data["left_out"], serde_json::json!({ "count": 1, "entries": entries }));
    assert_eq!(output.data["exit_code"], 0, "what else is told stays");
    assert_eq!(output.artefacts[0].path, "kept");
    let value = output.value(octollm_plan::ValueType::Text);
    assert!(!format!("{value:?}").contains("Left out"), "a later step works on what the program said");

    let output = site.run(shell(&["ln", "-s", "target", "link"], false)).await;
    assert!(output.text.ends_with("(Left out of the task's files: link (a link))\n"), "{}", output.text);
    let names: Vec<String> = (10..22).map(|n| format!("f{n}")).collect();
    let mut argv = vec!["mkfifo"];
    argv.extend(names.iter().map(String::as_str));
    let output = site.run(shell(&argv, false)).await;
    assert!(output.text.ends_with("f19 (a FIFO, a socket or a device) and 2 more)\n"), "{}", output.text);
    assert_eq!(output.data["left_out"]["count"], 12);
}

#[tokio::test]
async fn what_a_room_dropped_is_told() {
    if Kernel::probe().can_lock().is_err() {
        return; // programs are refused here, which a test above checks
    }
    let mut site = Site::new();
    site.capability.commands = ["head".to_owned()].into();
    let output = site.run(shell(&["head", "-c", "9000000", "/dev/zero"], false)).await;
    assert!(output.text.contains("not all that there was"), "{}", &output.text[output.text.len() - 200..]);
    assert_eq!(output.data["stdout_bytes"], 9_000_000);
    assert_eq!(output.value(octollm_plan::ValueType::Text), None);
}

/// That nothing matches, or that files differ, is what was asked; that a file is missing is a failure.
#[tokio::test]
async fn what_grep_and_diff_answer_by_their_exit_code_is_a_result() {
    if Kernel::probe().can_lock().is_err() {
        return; // programs are refused here, which a test above checks
    }
    let mut site = Site::new();
    site.capability.commands = ["grep", "diff", "cmp", "false"].map(str::to_owned).into();
    let (x, y) = (site.write("x", "x\n"), site.write("y", "y\n"));
    let output = site.run(shell(&["grep", "nosuch", &x], false)).await;
    assert_eq!((output.text.as_str(), output.exit_code), ("no line matches\n(exit code 1)\n", Some(1)));
    let output = site.run(shell(&["grep", "-c", "nosuch", &x], false)).await;
    assert_eq!(output.text, "0\n(exit code 1)\n");
    for argv in [["diff", "-u", &x, &y], ["cmp", "-l", &x, &y]] {
        assert_eq!(site.run(shell(&argv, false)).await.exit_code, Some(1), "{argv:?}");
    }
    let missing = format!("{x}-missing");
    for argv in [vec!["grep", "x", &missing], vec!["diff", &x, &missing], vec!["false"]] {
        assert!(site.refused(shell(&argv, false)).await.contains("exit code"), "{argv:?}");
    }
    assert!(site.run(shell(&["diff", "-q", &x, &y], false)).await.text.contains("differ"));
    // Who asks for no word asks for the code.
    for argv in [["grep", "-q", "nosuch", &x], ["cmp", "--silent", &x, &y]] {
        assert!(site.refused(shell(&argv, false)).await.contains("exit code 1"), "{argv:?}");
    }
}

/// What a failure's own words leave open is said.
#[tokio::test]
async fn a_program_that_wants_a_network_fails_with_words() {
    let mut site = Site::new();
    site.capability.commands = ["sh".to_owned()].into();
    site.capability.writes_workspace = true;
    let said =
        site.refused(shell(&["sh", "-c", "echo 'Could not resolve host: a' >&2; exit 6"], false)).await;
    assert!(said.contains("(programs have no network)"), "{said}");
}
