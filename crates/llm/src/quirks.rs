//! What servers that call themselves compatible do differently, as data.
//!
//! Promises: a table by server and by model's family, nothing else decides; what a server refuses
//! by name is left out of the next request ([`Quirks::lesser`]), which costs nothing, for a refused
//! request was not done; each lesser step leaves something out, so there are finitely many.

use crate::provider::Kind;

/// A server whose ways are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// api.openai.com and Azure's.
    OpenAi,
    /// vLLM's `serve`.
    Vllm,
    /// Ollama's `/v1`.
    Ollama,
    /// llama.cpp's `llama-server`.
    LlamaCpp,
    /// Mistral's own API.
    Mistral,
    /// api.anthropic.com.
    Anthropic,
    /// Any other: the common ground is assumed.
    Other,
}

impl Server {
    /// All, with the names that a configuration uses.
    pub const ALL: [(&'static str, Server); 7] = [
        ("openai", Server::OpenAi),
        ("vllm", Server::Vllm),
        ("ollama", Server::Ollama),
        ("llama.cpp", Server::LlamaCpp),
        ("mistral", Server::Mistral),
        ("anthropic", Server::Anthropic),
        ("other", Server::Other),
    ];

    /// Which server stands at an address, by its host or its well-known port.
    #[must_use]
    pub fn at(kind: Kind, host: &str, port: Option<u16>) -> Server {
        let within = |domain: &str| host == domain || host.ends_with(&format!(".{domain}"));
        match (kind, port) {
            (Kind::Anthropic, _) => Server::Anthropic,
            (Kind::OpenAi, _) if within("openai.com") || within("openai.azure.com") => Server::OpenAi,
            (Kind::OpenAi, _) if within("mistral.ai") => Server::Mistral,
            (Kind::OpenAi, Some(11434)) => Server::Ollama,
            (Kind::OpenAi, Some(8000)) => Server::Vllm,
            (Kind::OpenAi, Some(8080)) => Server::LlamaCpp,
            (Kind::OpenAi, _) => Server::Other,
        }
    }
}

/// How an answer of a wanted form is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormBy {
    /// `response_format` of type `json_schema`.
    JsonSchema,
    /// `response_format` of type `json_object`, and the schema in the prompt.
    JsonObject,
    /// A tool that must be called, whose arguments are the answer.
    Tool,
    /// The schema in the prompt and nothing else.
    Prompt,
}

/// The name of the field that limits the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitBy {
    /// `max_tokens`.
    MaxTokens,
    /// `max_completion_tokens`.
    MaxCompletionTokens,
}

/// The role of a system message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstructBy {
    /// `system`.
    System,
    /// `developer`.
    Developer,
    /// None: its text stands before the first user message.
    User,
}

/// How one server wants to be asked for one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quirks {
    /// How a form is asked for.
    pub form: FormBy,
    /// How the output is limited.
    pub limit: LimitBy,
    /// How instructions are given.
    pub instruct: InstructBy,
    /// It takes `stream_options.include_usage`. Without it usage may be missing, and is estimated.
    pub stream_usage: bool,
    /// It takes `temperature`.
    pub temperature: bool,
    /// It takes `tool_choice`.
    pub tool_choice: bool,
    /// It takes `stop`.
    pub stop: bool,
}

impl Quirks {
    /// What is known of `server` and the family of `model`.
    #[must_use]
    pub fn of(server: Server, model: &str) -> Quirks {
        let common = Quirks {
            form: FormBy::JsonSchema,
            limit: LimitBy::MaxTokens,
            instruct: InstructBy::System,
            stream_usage: true,
            temperature: true,
            tool_choice: true,
            stop: true,
        };
        match server {
            Server::OpenAi => {
                let reasons = ["o1", "o3", "o4", "gpt-5"].iter().any(|family| model.starts_with(family));
                // Before gpt-4o no model took a schema.
                let old = model.starts_with("gpt-3.5") || model == "gpt-4" || model.starts_with("gpt-4-");
                Quirks {
                    form: if old { FormBy::Prompt } else { FormBy::JsonSchema },
                    limit: LimitBy::MaxCompletionTokens,
                    instruct: if reasons { InstructBy::Developer } else { InstructBy::System },
                    temperature: !reasons,
                    stop: !reasons,
                    ..common
                }
            }
            // Its tool_choice is not implemented; it says so by ignoring it or by 400.
            Server::Ollama => Quirks { tool_choice: false, ..common },
            // Refuses fields that it does not know; sends usage with the last piece by itself.
            Server::Mistral => Quirks { stream_usage: false, ..common },
            Server::Anthropic => Quirks { form: FormBy::Tool, ..common },
            Server::Vllm | Server::LlamaCpp => common,
            // The form is asked for in both ways at once: what is ignored does no harm.
            Server::Other => Quirks { form: FormBy::JsonObject, ..common },
        }
    }

    /// What to leave out after the server refused a request with these words; `None` when they
    /// name nothing that can be left out.
    #[must_use]
    pub fn lesser(self, said: &str) -> Option<Quirks> {
        let said = said.to_ascii_lowercase();
        let names = |words: &[&str]| words.iter().any(|word| said.contains(word));
        if self.stream_usage && names(&["stream_options", "include_usage"]) {
            return Some(Quirks { stream_usage: false, ..self });
        }
        match (self.limit, names(&["use 'max_completion_tokens'", "max_completion_tokens instead"])) {
            (LimitBy::MaxTokens, true) => {
                return Some(Quirks { limit: LimitBy::MaxCompletionTokens, ..self });
            }
            (LimitBy::MaxCompletionTokens, false) if names(&["max_completion_tokens"]) => {
                return Some(Quirks { limit: LimitBy::MaxTokens, ..self });
            }
            (LimitBy::MaxTokens | LimitBy::MaxCompletionTokens, _) => {}
        }
        if names(&["response_format", "json_schema", "structured output", "json_object"]) {
            match self.form {
                FormBy::JsonSchema => return Some(Quirks { form: FormBy::JsonObject, ..self }),
                FormBy::JsonObject => return Some(Quirks { form: FormBy::Prompt, ..self }),
                FormBy::Tool | FormBy::Prompt => {}
            }
        }
        if self.temperature && names(&["temperature"]) {
            return Some(Quirks { temperature: false, ..self });
        }
        if self.tool_choice && names(&["tool_choice", "tool choice"]) {
            let form = if self.form == FormBy::Tool { FormBy::Prompt } else { self.form };
            return Some(Quirks { tool_choice: false, form, ..self });
        }
        if self.stop && names(&["'stop'", "\"stop\"", "stop_sequences"]) {
            return Some(Quirks { stop: false, ..self });
        }
        match self.instruct {
            InstructBy::Developer if names(&["developer"]) => {
                Some(Quirks { instruct: InstructBy::System, ..self })
            }
            InstructBy::System if names(&["system role", "role 'system'", "system message", "'system'"]) => {
                Some(Quirks { instruct: InstructBy::User, ..self })
            }
            InstructBy::Developer | InstructBy::System | InstructBy::User => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn servers_are_known_by_host_or_port() {
        for (host, port, server) in [
            ("api.openai.com", None, Server::OpenAi),
            ("x.openai.azure.com", None, Server::OpenAi),
            ("notopenai.com", None, Server::Other),
            ("127.0.0.1", Some(11434), Server::Ollama),
            ("localhost", Some(9999), Server::Other),
        ] {
            assert_eq!(Server::at(Kind::OpenAi, host, port), server, "{host}");
        }
    }

    #[test]
    fn words_of_refusals_lead_to_what_is_left_out() {
        let all = Quirks::of(Server::Vllm, "m");
        let openai = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.";
        assert_eq!(all.lesser(openai).map(|q| q.limit), Some(LimitBy::MaxCompletionTokens));
        let mistral = "body.stream_options: Extra inputs are not permitted";
        assert_eq!(all.lesser(mistral).map(|q| q.stream_usage), Some(false));
        let old =
            "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.";
        assert_eq!(all.lesser(old).map(|q| q.form), Some(FormBy::JsonObject));
        assert_eq!(all.lesser("System role not supported").map(|q| q.instruct), Some(InstructBy::User));
        assert_eq!(all.lesser("The model does not exist"), None);
    }

    proptest! {
        /// A server that refuses everything is asked finitely often.
        #[test]
        fn there_are_finitely_many_lesser_ways(said in proptest::collection::vec(
            "stream_options|max_completion_tokens instead|response_format|temperature|tool_choice|'stop'|developer|'system'", 1..6,
        )) {
            for (_, server) in Server::ALL {
                let (mut quirks, mut steps, words) = (Quirks::of(server, "m"), 0, said.join(" "));
                while let Some(lesser) = quirks.lesser(&words) {
                    prop_assert_ne!(lesser, quirks);
                    (quirks, steps) = (lesser, steps + 1);
                    prop_assert!(steps < 12, "{:?} {}", quirks, words);
                }
            }
        }
    }
}
