//! Signatures that prove something, headers that are ours to write, and encryption that reaches what it names.

use super::requests::may_be_written;
use crate::definition::auth::{Content, Signed};
use crate::definition::document::{Kind, Node};
use crate::definition::expr::Template;
use crate::definition::read::Ctx;
use crate::definition::{Connector, Request, Verify, rules};

/// What comes in and could be covered by a signature.
const COMES: &[&str] = &["raw", "path", "status", "headers", "query", "body", "item"];

pub(super) fn of_connector(ctx: &Ctx<'_>, root: &Node, connector: &Connector) {
    signs(ctx, root);
    let webhooks = connector.webhooks.as_ref().zip(root.get("webhooks").and_then(|hooks| hooks.get("verify")));
    if let Some((webhooks, node)) = webhooks {
        proves(ctx, node, &webhooks.verify);
    }
    let listed = root.get("webhooks").and_then(|hooks| hooks.get("allow_from"));
    if let Some(node) = listed.filter(|node| matches!(&node.kind, Kind::List(items) if items.is_empty())) {
        ctx.report(rules::BAD_VALUE, &node.span, "`allow_from` has at least one address, or is left out");
    }
    for entry in root.get("operations").map(Node::entries).unwrap_or_default() {
        let Some(operation) = connector.operations.get(entry.key.as_str()) else { continue };
        let node = &entry.node;
        signs(ctx, node);
        // One that is said for all operations is told of once, where it is said.
        let verify = node.get("verify").or_else(|| root.get("verify").filter(|_| is_first(root, &entry.key)));
        if let (Some(node), Some(verify)) = (verify, &operation.verify) {
            proves(ctx, node, verify);
        }
        encrypts(ctx, node, operation.request.as_ref());
        for (key, inquiry) in [("inquire", &operation.inquire), ("poll", &operation.follow_up)] {
            let Some(node) = node.get(key) else { continue };
            signs(ctx, node);
            encrypts(ctx, node, inquiry.as_ref().and_then(|inquiry| inquiry.request.as_ref()));
        }
    }
}

fn is_first(root: &Node, name: &str) -> bool {
    let operations = root.get("operations").map(Node::entries).unwrap_or_default();
    operations.iter().find(|entry| entry.node.get("verify").is_none()).is_some_and(|entry| entry.key == name)
}

fn signs(ctx: &Ctx<'_>, node: &Node) {
    let Some(sign) = node.get("sign") else { return };
    sign.get("header").into_iter().for_each(|header| may_be_written(ctx, header));
    for entry in sign.get("headers").map(Node::entries).unwrap_or_default() {
        let name = Node { span: entry.key_span.clone(), kind: Kind::Scalar(entry.key.as_str().into()) };
        may_be_written(ctx, &name);
    }
}

fn proves(ctx: &Ctx<'_>, node: &Node, verify: &Verify) {
    let ways = match (&node.kind, verify) {
        (Kind::List(nodes), Verify::Any(ways)) => nodes.iter().zip(ways).collect(),
        _ => vec![(node, verify)],
    };
    for (node, way) in ways {
        if let Verify::Signature(signed) = way {
            covers(ctx, node, signed);
        }
        for entry in node.get("keys").map(Node::entries).unwrap_or_default() {
            if entry.key.contains("${") {
                let message = "the id of a key is written as the provider sends it, and is no expression";
                ctx.report(rules::BAD_VALUE, &entry.key_span, message);
            }
        }
    }
}

fn covers(ctx: &Ctx<'_>, node: &Node, signed: &Signed) {
    let at = node.get("content").map_or_else(|| node.span.clone(), |content| content.span.clone());
    if signed.scheme.is_keyless() && signed.content.secrets().next().is_none() {
        let problem = ctx.problem(rules::BAD_VALUE, &at, "anybody can make this digest: no secret is in its text");
        ctx.add(
            problem.with_help("put it where the provider does: `content: \"${raw}${secret.acme_key}\"`".to_owned()),
        );
    }
    let read = |content: &Content| {
        content
            .expressions()
            .flat_map(|expr| expr.paths())
            .any(|path| path.first().is_some_and(|root| COMES.contains(&root.as_str())))
    };
    if !read(&signed.content) {
        let problem = ctx.problem(rules::BAD_VALUE, &at, "nothing of what comes is in the text that is signed");
        ctx.add(problem.with_help("`${raw}` is all of it, byte for byte".to_owned()));
    }
}

/// A field of another name would go out as everybody can read it.
fn encrypts(ctx: &Ctx<'_>, node: &Node, request: Option<&Request>) {
    let Some((request, encrypt)) = request.and_then(|request| Some((request, request.encrypt.as_ref()?))) else {
        return;
    };
    let names = node.get("encrypt").and_then(|node| node.get("fields")).map(Node::items).unwrap_or_default();
    for name in names {
        let Some(text) = name.text().filter(|text| encrypt.fields.iter().any(|field| field == text)) else { continue };
        if request.body.as_ref().is_none_or(|body| !may_have(body, text)) {
            let message = format!("the body has no field `{text}`: nothing would be encrypted");
            let problem = ctx.problem(rules::BAD_VALUE, &name.span, message);
            ctx.add(problem.with_help("a field inside of another is `outer.inner`".to_owned()));
        }
    }
}

/// As far as the file says what is in the body.
fn may_have(body: &Template, name: &str) -> bool {
    let mut at = body;
    for step in name.split('.') {
        match at {
            Template::Object(fields) => match fields.iter().find(|(known, _)| known == step) {
                Some((_, field)) => at = field,
                None => return false,
            },
            Template::Literal(value) => return value.pointer(&format!("/{}", name.replace('.', "/"))).is_some(),
            Template::Expr(_) => return true,
            _ => return false,
        }
    }
    true
}
