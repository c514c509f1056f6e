//! The command line: what can be said, and how it is explained.

use crate::taken::{address, whole};
use clap::{
    Args, CommandFactory, Parser, Subcommand, ValueEnum,
    error::{ContextKind, ContextValue},
};
use octollm_access::HostPort;
use octollm_contract::{
    Day, KeyId, MicroUsd, Priority, StepId, TaskId,
    api::{Budget, TaskStatus},
};
use octollm_operate::truth;
use std::{ffi::OsString, net::SocketAddr, path::PathBuf};

/// Runs LLM agent tasks on your own machines and keeps its promises about latency, cost and
/// lost work while it scales.
#[derive(Debug, Parser)]
#[command(name = "octollm", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// The configuration file (TOML). `octollm config show` lists what can stand in it.
    #[arg(long, global = true, env = "OCTOLLM_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Reach a goal here and now, and print the result.
    ///
    /// Nothing needs to run. The goal may read the paths, fetch from the host and run the
    /// program that it names, and nothing else. Without a model only the goals of
    /// docs/offline-goals.md are understood; the rest is refused. With one, other goals are
    /// planned: their steps may read the paths that the goal names (the current folder as "this repo" or "this
    /// folder"), and run programs in a locked
    /// room without a network, on files of their own.
    ///
    /// A planner may ask something. The question is put where standard input is a terminal; time goes
    /// on meanwhile. Where it is none, the task is cancelled and the question told: put the answer
    /// into the goal.
    ///
    /// Exit code: 0 completed, 1 failed or refused, 2 wrong usage, 130 interrupted.
    Run(Run),
    /// Take tasks over HTTP and do them with worker processes on this machine.
    ///
    /// With --role orchestrator, take tasks and leave them to arms on other machines; with
    /// --role arm:NAME, be such an arm: it leases steps from the orchestrators that the setting
    /// orchestrators names, with the key that arm_key holds (docs/roles.md).
    Serve(Serve),
    /// Submit, read, watch and steer the tasks of a server.
    Task {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        verb: TaskVerb,
    },
    /// Create, list and revoke the keys of a server.
    Keys {
        #[command(flatten)]
        server: Server,
        #[command(subcommand)]
        verb: KeysVerb,
    },
    /// What the tasks of a server came to and what their model calls cost, day by day.
    ///
    /// A key of an admin of the tenant default shows all tenants, every other its own. Days are days of UTC;
    /// the figures are kept for 400 of them.
    Usage(UsageOf),
    /// What the scaling manifests of a cluster will do: lint, explain, recommend, conformance.
    Scale {
        #[command(subcommand)]
        verb: octollm_operate::scale::ScaleVerb,
    },
    /// Serve a simulated model, for load tests and trials without a provider.
    ///
    /// It speaks OpenAI's API (/v1/chat/completions, /v1/models) and Anthropic's (/v1/messages),
    /// streaming and not, and answers by the rules of a script, with the delays and faults that the
    /// script asks for. Without a script it knows three goals: "List files in /tmp directory",
    /// "Write a Python function to sort a list", "Analyze security of a web application"; what no rule
    /// matches is refused. The same seed and the same requests give the same answers.
    ///
    /// Every answer says that it is simulated: the header x-octollm-simulated, and "simulated": true
    /// in its body. GET /log lists every call and what became of it. docs/models.md describes scripts.
    ///
    /// Try it: start `octollm llm-sim`, and in another terminal set
    /// OCTOLLM_MODEL_URL=http://127.0.0.1:8411/v1. It ends with Ctrl-C or SIGTERM.
    LlmSim(LlmSim),
    /// The database that database_url names.
    Db {
        #[command(subcommand)]
        verb: DbVerb,
    },
    /// What the configuration is, and where each value came from.
    Config {
        #[command(subcommand)]
        verb: ConfigVerb,
    },
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// A worker process; `serve` starts it.
    #[command(hide = true)]
    Worker,
}

impl Verb {
    /// Whether whoever called reads JSON.
    pub(crate) fn json(&self) -> bool {
        match self {
            Verb::Run(run) => run.json,
            Verb::Task { server, .. } | Verb::Keys { server, .. } => server.json,
            Verb::Usage(of) => of.server.json,
            Verb::Serve(_)
            | Verb::Scale { .. }
            | Verb::LlmSim(_)
            | Verb::Db { .. }
            | Verb::Config { .. }
            | Verb::Completions { .. }
            | Verb::Worker => false,
        }
    }
}

/// The same of a command line that could not be read.
pub(crate) fn named_json(mut arguments: impl Iterator<Item = OsString>, variable: Option<OsString>) -> bool {
    let variable = variable.and_then(|text| truth("OCTOLLM_JSON")(text.to_str()?).ok());
    variable == Some(true) || arguments.any(|argument| argument == "--json")
}

/// The variable whose value clap blames on an option that is not among the `arguments`.
pub(crate) fn variable_at_fault(
    said: &clap::Error,
    mut arguments: impl Iterator<Item = OsString>,
    is_set: impl Fn(&str) -> bool,
) -> Option<String> {
    let Some(ContextValue::String(option)) = said.get(ContextKind::InvalidArg) else { return None };
    let option = option.split([' ', '=']).next()?;
    let given = |argument: OsString| {
        argument
            .to_str()
            .and_then(|text| text.strip_prefix(option))
            .is_some_and(|rest| matches!(rest.chars().next(), None | Some('=')))
    };
    if arguments.any(given) {
        return None;
    }
    variables_of(&Cli::command(), option.strip_prefix("--")?).into_iter().find(|name| is_set(name))
}

fn variables_of(command: &clap::Command, long: &str) -> Vec<String> {
    let own = command.get_arguments().filter(|argument| argument.get_long() == Some(long));
    let own = own.filter_map(|argument| Some(argument.get_env()?.to_str()?.to_owned()));
    own.chain(command.get_subcommands().flat_map(|inner| variables_of(inner, long))).collect()
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// What is wanted, in plain English: "Count the lines of all .rs files in ./src".
    pub(crate) goal: String,
    /// One JSON object a line instead of text: the events, and last the task as the API gives it. A run
    /// that fails otherwise ends with a line {"error": {"reason": …, "message": …}}.
    #[arg(long, env = "OCTOLLM_JSON", value_parser = truth("OCTOLLM_JSON"))]
    pub(crate) json: bool,
    /// An OpenAI-compatible model server, such as http://127.0.0.1:11434/v1 (variable
    /// OCTOLLM_MODEL_URL; key: OCTOLLM_MODEL_KEY).
    #[arg(long, value_name = "URL")]
    pub(crate) model: Option<String>,
    /// The model's id. Default: the first that the server lists (variable OCTOLLM_MODEL).
    #[arg(long, value_name = "ID")]
    pub(crate) model_name: Option<String>,
    /// Fail if the goal is not reached within so many seconds.
    #[arg(long, env = "OCTOLLM_MAX_TIME", value_name = "SECONDS", value_parser = whole(1, Budget::TIME_SECONDS_MAX))]
    pub(crate) max_time: Option<u32>,
    /// What model calls may cost at most, in US dollars. It takes a model with a known price.
    #[arg(long, env = "OCTOLLM_MAX_COST", value_name = "USD")]
    pub(crate) max_cost: Option<MicroUsd>,
    /// A host of this machine or its own network that the goal may fetch from.
    #[arg(long, env = "OCTOLLM_ALLOW_HOST", value_name = "HOST", value_delimiter = ',')]
    pub(crate) allow_host: Vec<HostPort>,
    /// Keep the task in this data folder. Without it a temporary one is used and removed.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where files that the task makes go; never overwrites. Default: octollm- and the id of the task, only
    /// for files that its steps have made: an output that is long goes whole to a pipe, and a terminal is
    /// shown its beginning and where among the temporary files all of it is.
    #[arg(long, env = "OCTOLLM_OUT", value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The data folder. One process owns it; a second one is refused.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// What this process is: all, orchestrator, or arms such as arm:executor; several arms may be
    /// named. Default: all.
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Vec<String>,
    /// The address to listen on.
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub(crate) listen: Option<SocketAddr>,
    /// The address for arms and metrics. Default: the same.
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub(crate) internal_listen: Option<SocketAddr>,
    /// Worker processes, such as executor=2,judge=1. Default: one for all arms.
    #[arg(long, value_name = "ARM=N,…")]
    pub(crate) workers: Option<String>,
    /// How long a drain (SIGTERM) may take, such as 25s.
    #[arg(long, value_name = "TIME")]
    pub(crate) drain_grace: Option<String>,
    /// text or json, on standard error.
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct LlmSim {
    /// The address to listen on; port 0 takes a free one.
    #[arg(long, env = "OCTOLLM_SIM_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:8411", value_parser = address)]
    pub(crate) listen: SocketAddr,
    /// The script (TOML): rules, delays, faults. Default: the three goals.
    #[arg(long, env = "OCTOLLM_SIM_SCRIPT", value_name = "FILE")]
    pub(crate) script: Option<PathBuf>,
    /// What everything random comes from.
    #[arg(long, env = "OCTOLLM_SIM_SEED", value_name = "N", default_value_t = 0, value_parser = whole(0, u64::MAX))]
    pub(crate) seed: u64,
    /// Write every call to this file as it ends, one JSON object a line; a file that is there grows.
    #[arg(long, env = "OCTOLLM_SIM_LOG", value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// Keep all that was asked in the log: for tests of what reaches a provider.
    #[arg(long, env = "OCTOLLM_SIM_LOG_QUESTIONS", value_parser = truth("OCTOLLM_SIM_LOG_QUESTIONS"))]
    pub(crate) log_questions: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Server {
    /// Where the server is.
    #[arg(
        long,
        global = true,
        env = "OCTOLLM_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:8410"
    )]
    pub(crate) url: String,
    /// A PEM file of certificates: an https server is believed only if one of them has signed its.
    /// Default: those that the system trusts.
    #[arg(long, global = true, env = "OCTOLLM_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// The key to call it with. Give it by the variable: arguments are visible to everyone.
    #[arg(long, global = true, env = "OCTOLLM_KEY", value_name = "KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
    /// One JSON object a line instead of text; {"error": {"reason": …, "message": …}} if it fails.
    #[arg(long, global = true, env = "OCTOLLM_JSON", value_parser = truth("OCTOLLM_JSON"))]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TaskVerb {
    /// Submit a goal; prints the task's id.
    Submit(Submit),
    /// A task, whole.
    Get {
        /// The task.
        id: TaskId,
        /// Wait for its end, up to a minute.
        #[arg(long, env = "OCTOLLM_WAIT", value_parser = truth("OCTOLLM_WAIT"))]
        wait: bool,
    },
    /// Follow a task's events to its end. Exit code 0 if it completed, 1 otherwise.
    Watch {
        /// The task.
        id: TaskId,
    },
    /// Tasks, newest first.
    List {
        /// Only tasks with this status.
        #[arg(long, env = "OCTOLLM_LIST_STATUS", value_parser = status)]
        status: Option<TaskStatus>,
        /// Only tasks with a step that killed its workers three times.
        #[arg(long, env = "OCTOLLM_LIST_POISON", value_parser = truth("OCTOLLM_LIST_POISON"))]
        poison: bool,
        /// At most so many.
        #[arg(long, env = "OCTOLLM_LIST_LIMIT", default_value_t = 50, value_parser = whole(1_u16, 200))]
        limit: u16,
        /// Where the page before ended.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// End a task. What its steps have done stays done.
    Cancel {
        /// The task.
        id: TaskId,
    },
    /// Give what a task waits for: the answer to its question, or leave for a step to start.
    Input {
        /// The task.
        id: TaskId,
        /// The answer to the planner's question.
        #[arg(required_unless_present_any = ["approve", "refuse"], conflicts_with_all = ["approve", "refuse"])]
        text: Option<String>,
        /// The step that waits for an approval may start.
        #[arg(long, conflicts_with = "refuse")]
        approve: bool,
        /// It may not; the task fails.
        #[arg(long)]
        refuse: bool,
        /// The step whose question this answers, as `task get` and `task watch` show it. An answer to a task's
        /// first question does without.
        #[arg(long, value_name = "STEP", required_unless_present = "text")]
        step: Option<StepId>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Submit {
    /// What is wanted, in plain English.
    pub(crate) goal: String,
    /// How urgent it is against your other tasks: low, medium, high, critical.
    #[arg(long, env = "OCTOLLM_PRIORITY", default_value_t = Priority::Medium)]
    pub(crate) priority: Priority,
    /// Fail if it has not ended within so many seconds.
    #[arg(long, env = "OCTOLLM_MAX_TIME", value_name = "SECONDS", value_parser = whole(1, Budget::TIME_SECONDS_MAX))]
    pub(crate) max_time: Option<u32>,
    /// What model calls may cost at most, in US dollars. It takes a model with a known price.
    #[arg(long, env = "OCTOLLM_MAX_COST", value_name = "USD")]
    pub(crate) max_cost: Option<MicroUsd>,
    /// Handled failures that each step may have and still be tried again.
    #[arg(long, env = "OCTOLLM_MAX_RETRIES", value_name = "N", value_parser = whole(0, Budget::RETRIES_MAX))]
    pub(crate) max_retries: Option<u32>,
    /// Repeat with the same key to get the same task.
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
    /// Follow it to its end.
    #[arg(long, env = "OCTOLLM_WATCH", value_parser = truth("OCTOLLM_WATCH"))]
    pub(crate) watch: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UsageOf {
    #[command(flatten)]
    pub(crate) server: Server,
    /// How the steps of each arm ended, over all days together.
    #[arg(long, env = "OCTOLLM_USAGE_BY_ARM", value_parser = truth("OCTOLLM_USAGE_BY_ARM"))]
    pub(crate) by_arm: bool,
    /// The first day, such as 2026-11-01. Default: 30 days are shown.
    #[arg(long, env = "OCTOLLM_USAGE_FROM", value_name = "DAY")]
    pub(crate) from: Option<Day>,
    /// The last day. Default: today.
    #[arg(long, env = "OCTOLLM_USAGE_TO", value_name = "DAY")]
    pub(crate) to: Option<Day>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysVerb {
    /// Make a key; it is shown once.
    Create(CreateKey),
    /// All keys of your tenant, without their secrets.
    List,
    /// Revoke a key for ever.
    Revoke {
        /// Its id: the part between octo_ and the second underscore.
        id: KeyId,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CreateKey {
    /// What kind of caller it is for.
    #[arg(long, value_enum)]
    pub(crate) role: RoleName,
    /// Whose tasks it sees. Default: your own tenant.
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// A word for people.
    #[arg(long, default_value = "")]
    pub(crate) label: String,
    /// Below which its tasks may read; may be given several times.
    #[arg(long, value_name = "PATH")]
    pub(crate) read_root: Vec<String>,
    /// A host that its tasks may connect to; may be given several times.
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Vec<HostPort>,
    /// A host of the server's own network that its tasks may connect to.
    #[arg(long, value_name = "HOST")]
    pub(crate) private_host: Vec<HostPort>,
    /// Its tasks may connect to every public host.
    #[arg(long)]
    pub(crate) any_public_host: bool,
    /// A program that its tasks may run; may be given several times.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) command: Vec<String>,
    /// Its tasks may run every program, in a locked room without a network.
    #[arg(long)]
    pub(crate) any_command: bool,
    /// Its tasks may run shell strings, in a locked room without a network.
    #[arg(long)]
    pub(crate) shell: bool,
    /// What a person must approve first: command, network, write.
    #[arg(long, value_enum)]
    pub(crate) approval: Vec<ApprovalName>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RoleName {
    Admin,
    User,
    Operator,
    Arm,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ApprovalName {
    Command,
    Network,
    Write,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DbVerb {
    /// Bring the database to the schema of this version. `serve` does so by itself; orchestrators of
    /// the version before go on meanwhile.
    Migrate,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Print every setting with its effective value and where it came from.
    Show,
}

fn status(text: &str) -> Result<TaskStatus, String> {
    let known = TaskStatus::ALL.iter().map(|s| s.as_str()).collect::<Vec<_>>().join(", ");
    TaskStatus::ALL
        .iter()
        .copied()
        .find(|s| s.as_str() == text)
        .ok_or_else(|| format!("one of {known} is taken here"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    /// P8: whoever set a variable is not sent to look for an option that nobody gave.
    #[test]
    fn a_value_from_the_environment_is_blamed_on_its_variable() {
        let blamed = |arguments: &[&str], set: &'static str| {
            let words = || ["octollm"].into_iter().chain(arguments.iter().copied()).map(OsString::from);
            let said = Cli::try_parse_from(words().chain(["--max-time".into(), "soon".into()])).unwrap_err();
            variable_at_fault(&said, words(), |name| name == set)
        };
        let run = ["run", "a goal"];
        assert_eq!(blamed(&run, "OCTOLLM_MAX_TIME").as_deref(), Some("OCTOLLM_MAX_TIME"));
        assert_eq!(blamed(&run, "OCTOLLM_CONFIG"), None, "another one");
        for given in [&["--max-time=soon"][..], &["--max-time", "soon"]] {
            let words = || ["octollm", "run", "a goal"].iter().chain(given).map(OsString::from);
            let said = Cli::try_parse_from(words()).unwrap_err();
            assert_eq!(variable_at_fault(&said, words(), |_| true), None, "{given:?}");
        }
        let said = Cli::try_parse_from(["octollm", "config", "show", "--config", ""]).unwrap_err();
        let variable = variable_at_fault(&said, ["octollm".into()].into_iter(), |_| true);
        assert_eq!(variable.as_deref(), Some("OCTOLLM_CONFIG"), "{said}");
    }

    #[test]
    fn the_help_of_usage_says_what_it_shows() {
        let mut command = Cli::command();
        let usage = command.find_subcommand_mut("usage").unwrap().clone();
        // Neither what stands in the environment nor how wide a terminal is is of the help; nor is how wide a
        // build takes an ellipsis to be, by which one line would end at a hundred.
        let mut usage = usage.mut_args(|argument| argument.hide_env(true)).term_width(120);
        let help = usage.render_help().to_string();
        insta::assert_snapshot!(help, @r#"
        What the tasks of a server came to and what their model calls cost, day by day

        Usage: usage [OPTIONS]

        Options:
              --url <URL>   Where the server is [default: http://127.0.0.1:8410]
              --ca <FILE>   A PEM file of certificates: an https server is believed only if one of them has signed its. Default:
                            those that the system trusts
              --key <KEY>   The key to call it with. Give it by the variable: arguments are visible to everyone
              --json        One JSON object a line instead of text; {"error": {"reason": …, "message": …}} if it fails
              --by-arm      How the steps of each arm ended, over all days together
              --from <DAY>  The first day, such as 2026-11-01. Default: 30 days are shown
              --to <DAY>    The last day. Default: today
          -h, --help        Print help (see more with '--help')
        "#);
    }

    /// P5: whoever can limit what a goal costs here can limit it at a server, in the same words.
    #[test]
    fn a_limit_of_cost_is_said_alike_to_run_and_to_a_server() {
        let limit = |verb: &[&str], cost: &str| {
            let words = verb.iter().copied().chain(["a goal", "--max-cost", cost]);
            match Cli::try_parse_from(std::iter::once("octollm").chain(words)).map(|cli| cli.verb) {
                Ok(Verb::Run(run)) => run.max_cost,
                Ok(Verb::Task { verb: TaskVerb::Submit(submit), .. }) => submit.max_cost,
                Ok(other) => panic!("{other:?}"),
                Err(_) => None,
            }
        };
        for (cost, wanted) in [("0.25", Some(MicroUsd::new(250_000))), ("-1", None), ("cheap", None)] {
            assert_eq!(limit(&["run"], cost), wanted, "{cost}");
            assert_eq!(limit(&["task", "submit"], cost), wanted, "{cost}");
        }
    }
}
