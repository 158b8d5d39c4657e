//! Reading the package: which files there are, their words, and what the syntax tree knows of them.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use super::{SELF_EXPLAINING, VOCABULARY};

/// One word of a file: an identifier, a literal or a punctuation mark, also inside macros.
pub struct Word {
    pub text: String,
    pub line: usize,
}

pub struct Source {
    /// From the package's root, with `/`.
    pub path: String,
    pub text: String,
    pub words: Vec<Word>,
    pub facts: Facts,
    /// The whole file exists in tests only.
    pub test_only: bool,
}

/// What needs the syntax tree.
#[derive(Default)]
pub struct Facts {
    /// First and last line of what exists in tests only.
    pub test_lines: Vec<(usize, usize)>,
    /// Names (or `#[path]`s) of files that exist in tests only.
    pub test_files: Vec<String>,
    /// Line, name and length of each function outside tests.
    pub functions: Vec<(usize, String, usize)>,
    pub ignored: Vec<usize>,
    pub asynchronous: Vec<usize>,
    pub public: usize,
    pub undocumented: Vec<(usize, String)>,
    in_test: bool,
}

impl Source {
    pub fn in_src(&self) -> Option<&str> {
        self.path.strip_prefix("src/")
    }
    /// Code of the product, not of its tests.
    pub fn is_test(&self, line: usize) -> bool {
        self.in_src().is_none()
            || self.test_only
            || self.facts.test_lines.iter().any(|(first, last)| (*first..=*last).contains(&line))
    }
    pub fn room(&self) -> &str {
        let Some(path) = self.in_src() else { return "test" };
        let first = path.split(['/', '.']).next().unwrap_or_default();
        match first {
            "bin" => "simulator",
            "main" | "lib" => "root",
            name if VOCABULARY.contains(&name) => "vocabulary",
            name => name,
        }
    }
    pub fn product_words(&self) -> impl Iterator<Item = (usize, &Word)> {
        self.words.iter().enumerate().filter(|(_, word)| !self.is_test(word.line))
    }
    /// Whether the words from `at` on are these.
    pub fn reads(&self, at: usize, text: &[&str]) -> bool {
        self.words.get(at..).is_some_and(|rest| {
            rest.len() >= text.len() && rest.iter().zip(text).all(|(word, text)| word.text == *text)
        })
    }
}

/// Every file of the package that is under version control, or, without git, every file outside `target`.
pub fn tracked() -> Vec<String> {
    let root = env!("CARGO_MANIFEST_DIR");
    let listed = Command::new("git").args(["-C", root, "ls-files", "-co", "--exclude-standard"]).output();
    match listed {
        Ok(listed) if listed.status.success() => {
            let text = String::from_utf8(listed.stdout).expect("file names are UTF-8");
            text.lines().filter(|path| Path::new(root).join(path).is_file()).map(str::to_owned).collect()
        }
        _ => {
            let mut found = Vec::new();
            walk(Path::new(root), "", &mut found);
            found
        }
    }
}

pub fn walk(folder: &Path, prefix: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a readable folder").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && !["target", ".git"].contains(&name.as_str()) => {
                walk(&entry.path(), &format!("{prefix}{name}/"), found);
            }
            Ok(kind) if kind.is_file() => found.push(format!("{prefix}{name}")),
            _ => {}
        }
    }
}

pub fn parse(path: &str, text: String) -> Source {
    let tree = syn::parse_file(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut facts = Facts::default();
    facts.visit_file(&tree);
    let mut words = Vec::new();
    flatten(text.parse().expect("tokens of a file that parsed"), &mut words);
    Source { path: path.to_owned(), text, words, facts, test_only: false }
}

/// Every Rust file, knowing which of them exist in tests only.
pub fn read_all(paths: &[String]) -> Vec<Source> {
    let rust = paths.iter().filter(|path| path.ends_with(".rs"));
    let mut sources: Vec<Source> = rust
        .map(|path| {
            let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path));
            parse(path, text.expect("a readable file"))
        })
        .collect();
    let mut test_only = Vec::new();
    for source in &sources {
        let (folder, file) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
        let own = match file.strip_suffix(".rs") {
            Some("mod" | "lib" | "main") | None => folder.to_owned(),
            Some(name) => format!("{folder}/{name}"),
        };
        for name in &source.facts.test_files {
            match name.ends_with(".rs") {
                true => test_only.push(format!("{folder}/{name}")),
                false => test_only.extend([format!("{own}/{name}.rs"), format!("{own}/{name}/")]),
            }
        }
    }
    for source in &mut sources {
        source.test_only = test_only.iter().any(|only| source.path.starts_with(only.as_str()));
    }
    sources
}

/// Doc comments are prose, not words.
pub fn flatten(stream: TokenStream, words: &mut Vec<Word>) {
    for tree in stream {
        let line = tree.span().start().line;
        let group = match tree {
            TokenTree::Group(group) => group,
            other => {
                words.push(Word { text: other.to_string(), line });
                continue;
            }
        };
        let doc = group.stream().into_iter().next().is_some_and(|first| first.to_string() == "doc");
        if doc && group.delimiter() == Delimiter::Bracket {
            continue;
        }
        let (open, close) = match group.delimiter() {
            Delimiter::Parenthesis => ("(", ")"),
            Delimiter::Brace => ("{", "}"),
            Delimiter::Bracket => ("[", "]"),
            Delimiter::None => ("", ""),
        };
        words.push(Word { text: open.to_owned(), line });
        flatten(group.stream(), words);
        words.push(Word { text: close.to_owned(), line: group.span_close().end().line });
    }
}

pub fn is_test_only(attrs: &[syn::Attribute]) -> bool {
    attrs.iter().any(|attr| {
        let path: Vec<String> = attr.path().segments.iter().map(|part| part.ident.to_string()).collect();
        let cfg_test = path == ["cfg"] && attr.parse_args::<syn::Ident>().is_ok_and(|name| name == "test");
        cfg_test || path.last().is_some_and(|last| last == "test")
    })
}

/// The text of `#[path = "…"]`.
pub fn named_path(attrs: &[syn::Attribute]) -> Option<String> {
    let value = attrs.iter().find(|attr| attr.path().is_ident("path"))?.meta.require_name_value().ok()?;
    match &value.value {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
        _ => None,
    }
}

impl Facts {
    fn public_item(&mut self, visible: &syn::Visibility, attrs: &[syn::Attribute], name: &syn::Ident) {
        let known = SELF_EXPLAINING.iter().any(|known| name == known);
        if self.in_test || known || !matches!(visible, syn::Visibility::Public(_)) {
            return;
        }
        self.public += 1;
        if !attrs.iter().any(|attr| attr.path().is_ident("doc")) {
            self.undocumented.push((name.span().start().line, name.to_string()));
        }
    }
    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let (first, last) = (signature.span().start().line, block.span().end().line);
        if signature.asyncness.is_some() {
            self.asynchronous.push(first);
        }
        if !self.in_test {
            self.functions.push((first, signature.ident.to_string(), last - first + 1));
        }
    }
    fn attributes(&mut self, attrs: &[syn::Attribute]) {
        let ignored = attrs.iter().filter(|attr| attr.path().is_ident("ignore"));
        self.ignored.extend(ignored.map(|attr| attr.span().start().line));
    }
}

impl<'ast> Visit<'ast> for Facts {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let before = self.in_test;
        if is_test_only(&item.attrs) {
            self.test_lines.push((item.span().start().line, item.span().end().line));
            self.in_test = true;
            if item.content.is_none() {
                self.test_files.push(named_path(&item.attrs).unwrap_or_else(|| item.ident.to_string()));
            }
        }
        visit::visit_item_mod(self, item);
        self.in_test = before;
    }
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.attributes(&item.attrs);
        self.public_item(&item.vis, &item.attrs, &item.sig.ident);
        let before = self.in_test;
        if is_test_only(&item.attrs) {
            self.test_lines.push((item.span().start().line, item.span().end().line));
            self.in_test = true;
        }
        self.function(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
        self.in_test = before;
    }
    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.public_item(&item.vis, &item.attrs, &item.sig.ident);
        self.function(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }
    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let before = self.in_test;
        if is_test_only(&item.attrs) {
            self.test_lines.push((item.span().start().line, item.span().end().line));
            self.in_test = true;
        }
        visit::visit_item_impl(self, item);
        self.in_test = before;
    }
    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.public_item(&item.vis, &item.attrs, &item.ident);
        visit::visit_item_struct(self, item);
    }
    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.public_item(&item.vis, &item.attrs, &item.ident);
        visit::visit_item_enum(self, item);
    }
    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.public_item(&item.vis, &item.attrs, &item.ident);
        visit::visit_item_trait(self, item);
    }
    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.public_item(&item.vis, &item.attrs, &item.ident);
    }
    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        self.public_item(&item.vis, &item.attrs, &item.ident);
        visit::visit_item_static(self, item);
    }
    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.public_item(&item.vis, &item.attrs, &item.ident);
    }
    fn visit_expr_async(&mut self, item: &'ast syn::ExprAsync) {
        self.asynchronous.push(item.span().start().line);
        visit::visit_expr_async(self, item);
    }
}
