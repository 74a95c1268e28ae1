//! `include/memcache_rs.h` is made from this crate, and documents all it declares.
//! `make header` writes it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use cbindgen::{Builder, Config};

/// Returns the version macros, so that versions are written down once.
fn versions() -> String {
    let [major, minor, patch] =
        [env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR"), env!("CARGO_PKG_VERSION_PATCH")];
    format!(
        r#"
/**
 * Version of this header. mcrs_version() returns that of the library.
 */
#define MCRS_VERSION_MAJOR {major}
#define MCRS_VERSION_MINOR {minor}
#define MCRS_VERSION_PATCH {patch}
#define MCRS_VERSION "{version}"
#define MCRS_VERSION_NUMBER (MCRS_VERSION_MAJOR * 1000000 + MCRS_VERSION_MINOR * 1000 + MCRS_VERSION_PATCH)

/**
 * Version of the ABI, in which the SONAME ends.
 */
#define MCRS_ABI_VERSION {abi}
"#,
        version = env!("CARGO_PKG_VERSION"),
        abi = env!("MCRS_ABI"),
    )
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn committed() -> String {
    fs::read_to_string(here().join("../include/memcache_rs.h")).unwrap_or_default()
}

#[test]
fn the_header_is_made_from_this_crate() {
    let mut config = Config::from_file(here().join("cbindgen.toml")).unwrap();
    config.after_includes = Some(versions());
    let mut made = Vec::new();
    Builder::new().with_crate(here()).with_config(config).generate().unwrap().write(&mut made);
    let made = String::from_utf8(made).unwrap();
    if std::env::var_os("WRITE_HEADER").is_some() {
        let path = here().join("../include/memcache_rs.h");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &made).unwrap();
    }
    let committed = committed();
    for (number, (one, other)) in committed.lines().zip(made.lines()).enumerate() {
        assert_eq!(one, other, "include/memcache_rs.h:{}: run `make header`", number + 1);
    }
    assert!(committed == made, "include/memcache_rs.h ends too early or too late: run `make header`");
}

#[test]
fn cargo_c_installs_the_library_under_its_soname() {
    let manifest = fs::read_to_string(here().join("Cargo.toml")).unwrap();
    assert!(manifest.contains(concat!("\nversion = \"", env!("MCRS_ABI"), ".0.0\"\n")));
}

/// A declaration of the header, and the comment above it.
struct Declaration {
    code: String,
    comment: Option<String>,
}

impl Declaration {
    /// The name and the names of the parameters, if it is a function.
    fn function(&self) -> Option<(&str, Vec<&str>)> {
        if self.code.starts_with("typedef") {
            return None;
        }
        let (before, rest) = self.code.split_once('(')?;
        let parameters = rest.strip_suffix(");")?.split(',');
        let last = |text| str::rsplit(text, [' ', '*']).next().unwrap_or_default();
        Some((last(before), parameters.map(last).filter(|name| *name != "void").collect()))
    }

    /// The mistakes of its comment.
    fn mistakes(&self) -> Vec<String> {
        let Some(comment) = &self.comment else { return vec!["there is no comment".into()] };
        let mut mistakes = Vec::new();
        let first = comment.split("\n\n").next().unwrap().split(". ").next().unwrap();
        if first.split_whitespace().count() >= 15 {
            mistakes.push(format!("the first sentence has 15 words or more: {first}"));
        }
        let Some((_, parameters)) = self.function() else { return mistakes };
        if !first.split(' ').next().is_some_and(|verb| verb.ends_with('s')) {
            mistakes.push(format!("the first word is not a verb in the third person: {first}"));
        }
        let documented: Vec<_> =
            comment.lines().filter_map(|line| line.strip_prefix("@param ")?.split(' ').next()).collect();
        if documented != parameters {
            mistakes.push(format!("@param has {documented:?}, the function {parameters:?}"));
        }
        let returned = comment
            .split_once("\n@return ")
            .map(|(_, text)| text.split_whitespace().collect::<Vec<_>>().join(" "));
        match (self.code.split(' ').next().unwrap_or_default(), returned.as_deref()) {
            ("void", None) => {}
            ("void", Some(_)) => mistakes.push("@return of a function without a result".into()),
            (_, None) => mistakes.push("there is no @return".into()),
            ("mcrs_status", Some(text)) if !text.contains("MCRS_OK") || !text.contains("a common status") => {
                mistakes.push(format!("@return does not name MCRS_OK and a common status: {text}"));
            }
            _ => {}
        }
        mistakes
    }
}

/// Returns the declarations of a header: functions, types, fields, values, macros.
fn declarations(header: &str) -> Vec<Declaration> {
    let mut found: Vec<Declaration> = Vec::new();
    let (mut comment, mut code, mut inside) = (None, String::new(), false);
    let mut lines = header.lines().skip_while(|line| !line.starts_with("#include")).peekable();
    while let Some(line) = lines.next() {
        let text = line.trim();
        if text == "/**" {
            let lines = lines.by_ref().map(str::trim).take_while(|line| *line != "*/");
            let lines = lines.map(|line| line.strip_prefix("* ").unwrap_or_default());
            comment = Some(lines.collect::<Vec<_>>().join("\n"));
            continue;
        }
        if line.starts_with('}') {
            inside = false;
            continue;
        }
        let is_macro = text.starts_with("#define MCRS_");
        // A forward declaration of the enum in C, and the macros beside the first version's.
        let is_bare = text.starts_with("typedef enum ") || text == "typedef int32_t mcrs_status;";
        let is_version = text.starts_with("#define MCRS_VERSION") && comment.is_none();
        if text.is_empty() || (text.starts_with(['#', ':', '{']) && !is_macro) || is_bare || is_version {
            inside |= text == "{";
            continue;
        }
        if text.starts_with("extern \"C\"") {
            continue;
        }
        if !code.is_empty() {
            code.push(' ');
        }
        code.push_str(text);
        let opens = text.ends_with('{') || text == "enum mcrs_status";
        if is_macro || opens || text.ends_with(';') || (inside && text.ends_with(',')) {
            found.push(Declaration { code: std::mem::take(&mut code), comment: comment.take() });
            inside |= opens;
        }
    }
    found
}

#[test]
fn the_header_documents_all_it_declares() {
    let header = committed();
    let found = declarations(&header);
    let functions = found.iter().filter(|declaration| declaration.function().is_some()).count();
    assert_eq!(functions, header.lines().filter(|line| is_prototype(line)).count());
    assert!(functions > 100 && found.len() > functions + 100, "{functions} of {}", found.len());
    let mut mistakes = Vec::new();
    for declaration in &found {
        let code = &declaration.code;
        mistakes.extend(declaration.mistakes().iter().map(|mistake| format!("{code}\n    {mistake}")));
    }
    let wide = header.lines().filter(|line| line.trim().starts_with('*') && line.chars().count() > 100);
    mistakes.extend(wide.map(|line| format!("a comment is wider than 100 columns: {line}")));
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

/// Whether a line begins the prototype of a function.
fn is_prototype(line: &str) -> bool {
    line.contains("mcrs_")
        && line.contains('(')
        && line.starts_with(|c: char| c.is_ascii_lowercase())
        && !line.starts_with("typedef")
}

#[test]
fn a_function_with_a_mistake_in_its_comment_is_found() {
    let comment = "Reads a thing.\n\n@param thing  Thing.\n@return MCRS_OK, or a common status.";
    let code = "mcrs_status mcrs_read(const struct mcrs_thing *thing);";
    let mistakes = |code: &str, comment: &str| {
        let header = format!("#include <a.h>\n/**\n * {}\n */\n{code}\n", comment.replace('\n', "\n * "));
        declarations(&header).iter().flat_map(Declaration::mistakes).count()
    };
    assert_eq!(mistakes(code, comment), 0);
    assert_eq!(mistakes("void mcrs_free(void);", "Frees all."), 0);
    assert_eq!(declarations(&format!("#include <a.h>\n{code}\n"))[0].mistakes().len(), 1);
    assert_eq!(mistakes(&code.replace("*thing)", "*thing, size_t index)"), comment), 1);
    assert_eq!(mistakes(code, &comment.replace("@param thing", "@param other")), 1);
    assert_eq!(mistakes(code, &comment.replace("\n@return MCRS_OK, or a common status.", "")), 1);
    assert_eq!(mistakes(code, &comment.replace("or a common status", "or not")), 1);
    assert_eq!(mistakes(code, &comment.replace("Reads", "Read")), 1);
    assert_eq!(mistakes(code, &comment.replace("a thing", &"a ".repeat(14))), 1);
}
