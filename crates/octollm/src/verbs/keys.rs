//! `octollm keys`: the keys of a server.

use super::{Usage, runtime, task::client};
use crate::{
    cli::{ApprovalName, CreateKey, KeysVerb, RoleName, Server},
    show,
};
use octollm_access::{Approval, NetworkGrant, PolicyAsk, Role};
use octollm_client::wire::{KeyAsk, KeyView};
use serde_json::json;
use std::process::ExitCode;

pub(super) fn keys(server: &Server, verb: KeysVerb) -> anyhow::Result<ExitCode> {
    let client = client(server)?;
    runtime(1)?.block_on(async {
        match verb {
            KeysVerb::Create(create) => {
                let made = client.create_key(&ask(create)?).await?;
                if server.json {
                    show::line(&serde_json::to_string(&made)?);
                } else {
                    show::line(&made.key);
                    show::note("this is the only time that the key is shown");
                }
            }
            KeysVerb::List => {
                let list = client.keys().await?;
                if server.json {
                    show::line(&serde_json::to_string(&list)?);
                } else {
                    show::text(&list.keys.iter().map(line).collect::<String>());
                }
            }
            KeysVerb::Revoke { id } => {
                client.revoke_key(&id).await?;
                if server.json {
                    show::line(&json!({ "id": id, "revoked": true }).to_string());
                } else {
                    show::note(&format!("{id} is revoked"));
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn ask(create: CreateKey) -> Result<KeyAsk, Usage> {
    let tenant = create.tenant.map(|text| text.parse()).transpose();
    let public = create.host.into_iter().map(|host| NetworkGrant { host, private: false });
    let private = create.private_host.into_iter().map(|host| NetworkGrant { host, private: true });
    let policy = PolicyAsk {
        read_roots: create.read_root,
        hosts: public.chain(private).collect(),
        any_public_host: create.any_public_host,
        commands: create.command,
        any_command: create.any_command,
        shell: create.shell,
        approvals: create.approval.into_iter().map(approval).collect(),
    };
    policy
        .clone()
        .checked()
        .map_err(|invalid| Usage(format!("{}: {}", flag(&invalid.field), invalid.detail)))?;
    Ok(KeyAsk {
        role: match create.role {
            RoleName::Admin => Role::Admin,
            RoleName::User => Role::User,
            RoleName::Operator => Role::Operator,
            RoleName::Arm => Role::Arm,
        },
        tenant: tenant.map_err(|error| Usage(format!("--tenant: {error}")))?,
        scopes: None,
        // Nothing said of what it may do: what its maker may.
        policy: Some(policy).filter(|policy| *policy != PolicyAsk::default()),
        label: create.label,
    })
}

/// The flag that an entry of the policy came from.
fn flag(field: &str) -> &'static str {
    match field.split('[').next() {
        Some("read_roots") => "--read-root",
        Some("hosts") => "--host, --private-host",
        Some("commands") => "--command",
        Some("approvals") => "--approval",
        Some(_) | None => "the policy",
    }
}

fn approval(name: ApprovalName) -> Approval {
    match name {
        ApprovalName::Command => Approval::Command,
        ApprovalName::Network => Approval::Network,
        ApprovalName::Write => Approval::Write,
    }
}

fn line(key: &KeyView) -> String {
    let revoked = key.revoked_at.map_or(String::new(), |at| format!("  revoked {at}"));
    format!("{}  {:<8}  {:<16}  {}  {}{revoked}\n", key.id, key.role, key.tenant, key.created_at, key.label)
}
