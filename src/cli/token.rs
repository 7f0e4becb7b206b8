//! `clonewatch token`: access for a client of the daemon.

use super::print;
use crate::{
    config::{Config, Environment, Scope, TokenHash},
    error::{Exit, Result},
    store::random_hex,
};

/// Arguments of `clonewatch token`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    #[allow(missing_docs, reason = "a doc comment here would become the command's help text")]
    pub action: Action,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Make a token, and print it once with the section that makes it known
    New {
        /// Goes into the audit log: letters, digits, `-` and `_`
        name: String,
        /// What its holder may do
        #[arg(long, value_enum, value_delimiter = ',', default_value = "submit")]
        scope: Vec<ScopeArg>,
    },
}

/// [`Scope`] as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ScopeArg {
    /// Hand in audio
    Submit,
    /// See all scans
    Read,
    /// Everything
    Admin,
}

impl ScopeArg {
    fn scope(self) -> Scope {
        match self {
            Self::Submit => Scope::Submit,
            Self::Read => Scope::Read,
            Self::Admin => Scope::Admin,
        }
    }
}

/// Makes a token.
///
/// # Errors
/// A name that cannot be used.
pub fn run(args: &Args) -> Result<Exit> {
    let Action::New { name, scope } = &args.action;
    let token = format!("cw_{}", random_hex::<32>());
    let mut scopes: Vec<Scope> = scope.iter().map(|scope| scope.scope()).collect();
    scopes.sort();
    scopes.dedup();
    let scopes: Vec<String> = scopes.iter().map(|scope| format!("\"{scope}\"")).collect();
    let hash: String = TokenHash::of(&token).into();
    let section = format!("[[tokens]]\nname = {name:?}\nhash = \"{hash}\"\nscopes = [{}]\n", scopes.join(", "));
    Config::parse(&section, "token", &Environment::default())?;
    print(format!("# The token, shown this once: {token}\n# For the configuration file:\n{section}").as_bytes())
}
