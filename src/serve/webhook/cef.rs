//! An event as a line of ArcSight Common Event Format, revision 25: a header of seven fields and `key=value` pairs.

use serde_json::Value;

/// Longest value, in characters; most fields of CEF hold 1023.
const MAX_VALUE_CHARS: usize = 1_000;

/// `CEF:0|clonewatch|clonewatch|VERSION|ID|NAME|SEVERITY|EXTENSION` for an event of the outbox, without a line feed.
pub fn line_of(event: &Value) -> String {
    let data = &event["data"];
    // A person's word is the last one.
    let overridden = data["override"]["decision"].as_str();
    let decision = overridden.or(data["decision"].as_str()).unwrap_or("none");
    let (name, severity) = match decision {
        "spoof" => ("Likely cloned voice", 8),
        "inconclusive" => ("Inconclusive recording", 4),
        "bona_fide" => ("Likely genuine voice", 1),
        _ => ("Event", 3),
    };
    let kind = event["type"].as_str().unwrap_or("event");
    let header = ["clonewatch", "clonewatch", env!("CARGO_PKG_VERSION"), &format!("{kind}:{decision}"), name];
    let header: Vec<String> = header.into_iter().map(header_value).collect();
    format!("CEF:0|{}|{severity}|{}", header.join("|"), extension_of(event, decision))
}

fn extension_of(event: &Value, decision: &str) -> String {
    let data = &event["data"];
    let mut pairs: Vec<(&str, String)> = Vec::new();
    let mut add = |key, value: &Value| {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return,
        };
        pairs.push((key, text));
    };
    add("rt", &event["timestamp"]);
    add("externalId", &data["id"]);
    add("outcome", &decision.into());
    add("reason", &data["reason"]);
    add("act", &data["action"]);
    add("fname", &data["name"]);
    add("fileHash", &data["sha256"]);
    add("fsize", &data["bytes"]);
    add("suser", &data["submitted_by"]);
    for (key, label_key, label, value) in [
        ("cs1", "cs1Label", "policy", &data["policy"]),
        ("cs2", "cs2Label", "source", &data["source"]),
        ("cs3", "cs3Label", "label", &data["label"]),
        ("cs4", "cs4Label", "overriddenBy", &data["override"]["by"]),
        ("cfp1", "cfp1Label", "llr", &data["llr"]),
    ] {
        if !value.is_null() {
            add(key, value);
            add(label_key, &label.into());
        }
    }
    add("msg", &data["override"]["note"]);
    let shown = pairs.into_iter().map(|(key, value)| format!("{key}={}", extension_value(&value)));
    shown.collect::<Vec<_>>().join(" ")
}

/// In the header `|` and `\` are escaped, and no line may end.
fn header_value(text: &str) -> String {
    escaped(text, |c| matches!(c, '|' | '\\'), |_| " ")
}

/// In the extension `=` and `\` are escaped, and ends of lines are written out.
fn extension_value(text: &str) -> String {
    escaped(text, |c| matches!(c, '=' | '\\'), |c| if c == '\r' { "\\r" } else { "\\n" })
}

fn escaped(text: &str, is_special: impl Fn(char) -> bool, line_end: impl Fn(char) -> &'static str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars().take(MAX_VALUE_CHARS) {
        match c {
            '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => shown.push_str(line_end(c)),
            c if c.is_control() => shown.push(' '),
            c => {
                if is_special(c) {
                    shown.push('\\');
                }
                shown.push(c);
            }
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_value_can_end_it() {
        for (text, in_header, in_extension) in [
            ("plain é 語", "plain é 語", "plain é 語"),
            ("a|b", r"a\|b", "a|b"),
            ("a=b", "a=b", r"a\=b"),
            (r"a\b", r"a\\b", r"a\\b"),
            (r"a\|b", r"a\\\|b", r"a\\|b"),
            (r"\n", r"\\n", r"\\n"),
            ("a\nb\r\nc", "a b  c", r"a\nb\r\nc"),
            ("a\u{2028}b\u{85}c", "a b c", r"a\nb\nc"),
            ("a\u{0}b\u{1b}[2Jc\td", "a b [2Jc d", "a b [2Jc d"),
            ("x act=accept", "x act=accept", r"x act\=accept"),
            ("", "", ""),
        ] {
            assert_eq!(header_value(text), in_header, "{text:?}");
            assert_eq!(extension_value(text), in_extension, "{text:?}");
        }
        assert_eq!(extension_value(&"=".repeat(2_000)).len(), 2 * MAX_VALUE_CHARS);
    }

    #[test]
    fn an_event_is_one_line() {
        let event = serde_json::json!({
            "type": "scan.finished", "timestamp": "2026-11-24T10:59:52.000Z",
            "data": {
                "id": "0f8f", "decision": "spoof", "reason": null, "action": "flag", "name": "a=1 | b\n.wav",
                "sha256": "cd34", "bytes": 7, "submitted_by": "desk", "policy": "default", "source": "api",
                "label": null, "llr": -4.31, "override": null,
            },
        });
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            line_of(&event),
            format!("CEF:0|clonewatch|clonewatch|{version}|scan.finished:spoof|Likely cloned voice|8|")
                + concat!(
                    "rt=2026-11-24T10:59:52.000Z externalId=0f8f outcome=spoof act=flag ",
                    r"fname=a\=1 | b\n.wav fileHash=cd34 fsize=7 suser=desk ",
                    "cs1=default cs1Label=policy cs2=api cs2Label=source cfp1=-4.31 cfp1Label=llr"
                )
        );
    }

    #[test]
    fn a_person_overrules_the_machine() {
        let event = serde_json::json!({
            "type": "scan.overridden", "timestamp": "t",
            "data": { "decision": "spoof", "override": { "decision": "bona_fide", "by": "jo", "note": "called back" } },
        });
        let line = line_of(&event);
        assert!(line.contains("|scan.overridden:bona_fide|Likely genuine voice|1|"), "{line}");
        assert!(line.ends_with("cs4=jo cs4Label=overriddenBy msg=called back"), "{line}");
    }
}
