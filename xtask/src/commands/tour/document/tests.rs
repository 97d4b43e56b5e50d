use super::*;

fn read(document: &str) -> anyhow::Result<Vec<Tour>> {
    tours(Path::new("a.md"), document)
}

fn run(place: usize, commands: &str, prints: &[&str]) -> Block {
    Block {
        place: format!("a.md:{place}"),
        prints: prints.iter().map(|text| (*text).to_owned()).collect(),
        work: Work::Run(commands.to_owned()),
    }
}

fn refused(document: &str, expected: &str) {
    let error = format!("{:#}", read(document).unwrap_err());
    assert!(error.contains(expected), "{document}: {error}");
}

#[test]
fn blocks_of_the_tour_are_read_and_others_are_not() {
    let document =
        "# A\n```sh\nrm -rf x\n```\n```sh step image\nrm y\n```\n```sh tour\necho a\n# prints: a b\n# why\n```\n";
    let tours = read(document).unwrap();
    assert_eq!(tours, [Tour { blocks: vec![run(9, "echo a\n# why\n", &["a b"])], ..Tour::default() }]);
    assert_eq!(read("text\n```sh\nls\n```\n").unwrap(), []);
    refused("```sh tour background\nsleep 1\n```\n", "a.md:2: a block in the background");
    refused("```sh tuor background\n```\n```sh tour backgruond\n```\n", "a.md: line 3");
}

#[test]
fn a_block_that_is_a_file_is_kept_whole() {
    let tours = read("```ini tour file a/b.ini\n# prints: x\n[a]\n```\n").unwrap();
    let work = Work::Write { path: "a/b.ini".to_owned(), content: "# prints: x\n[a]\n".to_owned() };
    assert_eq!(tours[0].blocks, [Block { place: "a.md:2".to_owned(), prints: vec![], work }]);
}

#[test]
fn a_document_directs_its_tours() {
    let document = "<!-- tour needs: one, two -->\n```sh tour\na\n```\n<!-- tour anew -->\n<!-- tour after: b/c.md -->\n\
                    <!-- tour needs: three -->\n<!--\n```sh tour\nb\n```\n-->\n<!-- tour anew -->\n";
    let [first, second] = &read(document).unwrap()[..] else { panic!("two tours") };
    assert_eq!(
        (&first.needs[..], &first.after, &first.blocks),
        (&["one".to_owned(), "two".to_owned()][..], &None, &vec![run(3, "a\n", &[])])
    );
    assert_eq!(second.needs, ["three"]);
    assert_eq!(second.after.as_deref(), Some(Path::new("b/c.md")));
    assert_eq!(second.blocks, [run(10, "b\n", &[])]);
    refused("<!-- tour neds: one -->\n", "a.md:1: `tour neds` is not known");
    refused("<!-- tour needs: one\n-->\n", "a.md:1: the comment does not end");
}

#[test]
fn what_stands_in_is_executed() {
    let tours =
        read("<!-- tour stands in: r.example/ => $R/ -->\n```sh tour\npull r.example/x\n# prints: r.example/x\n```\n")
            .unwrap();
    assert_eq!(tours[0].blocks, [run(3, "pull $R/x\n", &["r.example/x"])]);
    // Each tour has its own.
    refused(
        "```sh tour\npull r.example/x\n```\n<!-- tour anew -->\n<!-- tour stands in: r.example/ => $R/ -->\n```sh tour\nls\n```\n",
        "no block of the tour shows `r.example/`",
    );
    refused("<!-- tour stands in: a -->\n", "is not `TEXT => TEXT`");
    refused("<!-- tour stands in: => a -->\n", "stands in for nothing");
}
