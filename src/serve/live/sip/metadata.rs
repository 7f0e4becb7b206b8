//! Who is heard on which stream: the recording metadata (RFC 7865, section 6).

use std::collections::BTreeMap;

use roxmltree::{Document, Node, ParsingOptions};

/// Elements of one document.
const MAX_NODES: u32 = 10_000;
/// Longest name or identifier that is kept.
const MAX_CHARS: usize = 128;

/// What metadata says, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::serve::live) struct Metadata {
    /// By the stream's label: who speaks on it.
    pub(in crate::serve::live) speakers: BTreeMap<String, Participant>,
    /// The communication session that is recorded, as the SIP elements call it.
    pub(in crate::serve::live) session_id: Option<String>,
}

/// One participant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::serve::live) struct Participant {
    pub(in crate::serve::live) name: Option<String>,
    /// Address of record, such as `sip:bob@example.com` or `tel:+15551234`.
    pub(in crate::serve::live) aor: Option<String>,
}

impl Participant {
    /// What to call them.
    pub(in crate::serve::live) fn shown(&self) -> Option<&str> {
        let user = |aor: &'_ str| aor.split(':').nth(1).map_or(aor.len(), |_| aor.find(':').map_or(0, |at| at + 1));
        self.name.as_deref().or_else(|| {
            let aor = self.aor.as_deref()?;
            let rest = &aor[user(aor)..];
            Some(rest.split(['@', ';']).next().unwrap_or(rest)).filter(|user| !user.is_empty())
        })
    }
}

impl Metadata {
    /// Reads a document. Namespaces are not looked at: devices differ in them.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub(in crate::serve::live) fn parse(text: &str) -> Result<Self, String> {
        let options = ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
        let document = Document::parse_with_options(text.trim(), options).map_err(|error| error.to_string())?;
        let root = document.root_element();
        let all = |name: &'static str| root.descendants().filter(move |node| node.tag_name().name() == name);
        let participants: BTreeMap<&str, Participant> =
            all("participant").filter_map(|node| Some((id(node, "participant_id")?, participant(node)))).collect();
        let labels: BTreeMap<&str, String> =
            all("stream").filter_map(|node| Some((id(node, "stream_id")?, text_of(child(node, "label")?)?))).collect();
        let mut speakers = BTreeMap::new();
        for association in all("participantstreamassoc") {
            let Some(participant) = id(association, "participant_id").and_then(|id| participants.get(id)) else {
                continue;
            };
            for send in association.children().filter(|node| node.tag_name().name() == "send") {
                if let Some(label) = send.text().and_then(|stream| labels.get(stream.trim())) {
                    speakers.insert(label.clone(), participant.clone());
                }
            }
        }
        let session_id = all("sipSessionID").find_map(text_of);
        Ok(Self { speakers, session_id })
    }
}

fn participant(node: Node<'_, '_>) -> Participant {
    let Some(name_id) = child(node, "nameID") else { return Participant::default() };
    let name = child(name_id, "name").and_then(text_of);
    Participant { name, aor: name_id.attribute("aor").and_then(kept) }
}

fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|child| child.tag_name().name() == name)
}

/// Under its name in the RFC, or the short one that some devices use.
fn id<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.attribute(name).or_else(|| node.attribute("id"))
}

fn text_of(node: Node<'_, '_>) -> Option<String> {
    node.text().and_then(kept)
}

fn kept(text: &str) -> Option<String> {
    let text: String = text.trim().chars().filter(|c| !c.is_control()).take(MAX_CHARS).collect();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const XML: &str = r#"<?xml version="1.0"?>
        <recording xmlns="urn:ietf:params:xml:ns:recording:1">
          <datamode>complete</datamode>
          <session session_id="x"><sipSessionID>ab30;remote=cd40</sipSessionID></session>
          <participant participant_id="p1"><nameID aor="sip:bob@example.com"><name xml:lang="en">Bob B.</name></nameID></participant>
          <participant participant_id="p2"><nameID aor="tel:+15551234"/></participant>
          <stream stream_id="s1" session_id="x"><label>96</label></stream>
          <stream stream_id="s2" session_id="x"><label>97</label></stream>
          <participantstreamassoc participant_id="p1"><send>s1</send><recv>s2</recv></participantstreamassoc>
          <participantstreamassoc participant_id="p2"><send>s2</send><recv>s1</recv></participantstreamassoc>
        </recording>"#;

    #[test]
    fn speakers_are_found_by_the_label_of_their_stream() {
        let metadata = Metadata::parse(XML).unwrap();
        let shown: Vec<_> = metadata.speakers.iter().map(|(label, who)| (label.as_str(), who.shown())).collect();
        assert_eq!(shown, [("96", Some("Bob B.")), ("97", Some("+15551234"))]);
        assert_eq!(metadata.session_id.as_deref(), Some("ab30;remote=cd40"));
    }

    #[test]
    fn broken_and_hostile_documents_are_refused() {
        let bomb = "<!DOCTYPE a [<!ENTITY b 'bbbb'>]><a>&b;</a>";
        let many = format!("<a>{}</a>", "<b/>".repeat(MAX_NODES as usize));
        for text in ["", "<a>", bomb, &many] {
            assert!(Metadata::parse(text).is_err());
        }
        assert_eq!(Metadata::parse("<a><participantstreamassoc/></a>"), Ok(Metadata::default()));
    }
}
