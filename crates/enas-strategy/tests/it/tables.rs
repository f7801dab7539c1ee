//! Tables that are read, and what is said of those that cannot be.

use std::fs;

use enas_rng::Seed;
use enas_strategy::{Space, Table, TableSpace};

const SMALL: &str = "a,b,valid,test\n0,0,1,10\n0,1,2,20\n1,0,3,30\n1,1,4,40\n";

fn csv(text: &str) -> Result<Table, String> {
    Table::from_csv(text.as_bytes()).map_err(|e| e.to_string())
}

fn json(text: &str) -> Result<Table, String> {
    Table::from_json(text.as_bytes()).map_err(|e| e.to_string())
}

#[test]
fn both_forms_give_the_same_table_whatever_the_order_of_rows_and_keys() {
    let table = csv(SMALL).unwrap();
    let shuffled =
        csv("\u{feff}a, \"b\",Valid,TEST\r\n1,1,4,40\r\n\r\n0,1,2,20\r\n 1 ,0.0,3,30\r\n0,0,1,1e1").unwrap();
    assert_eq!(table, shuffled);
    let objects = r#"[{"a":1,"b":1,"valid":4,"test":40},{"test":20,"valid":2,"b":1,"a":0},
        {"a":1,"b":0,"valid":3.0,"test":30},{"a":0,"b":0,"valid":1,"test":10}]"#;
    assert_eq!(json(objects).unwrap(), table);
    let columns_elsewhere = csv("test,a,valid,b\n10,0,1,0\n20,0,2,1\n30,1,3,0\n40,1,4,1\n").unwrap();
    assert_eq!(columns_elsewhere, table);
}

#[test]
fn values_of_columns_are_their_choices() {
    let table = csv("x,y,valid,test\n-3,7,1,1\n12,7,2,2\n5,9,3,3\n").unwrap();
    let space = TableSpace(&table);
    assert_eq!(space.plan().n_choices(), [3, 2]);
    let row = table.find(&[5, 9]).unwrap();
    assert_eq!((space.encode(&row), table.decisions(row), table.valid(row)), (vec![1, 1], vec![5, 9], 3.0));
    assert_eq!(space.decode(&[1, 1]), Some(row));
    for (missing, decisions) in [(vec![0, 1], [-3, 9]), (vec![2, 1], [12, 9])] {
        assert_eq!((space.decode(&missing), table.find(&decisions)), (None, None));
    }
    assert_eq!((table.find(&[4, 7]), table.find(&[5]), space.decode(&[9])), (None, None, None));
}

#[test]
fn percentile_and_regret_are_those_of_the_test_values() {
    let table = csv(SMALL).unwrap();
    let of = |decisions: &[i64]| {
        let row = table.find(decisions).unwrap();
        (table.percentile(row), table.regret(row))
    };
    assert_eq!((of(&[0, 0]), of(&[1, 1])), ((0.0, 30.0), (100.0, 0.0)));
    assert_eq!(of(&[1, 0]).1, 10.0);
    let mean = table.rows().map(|row| table.percentile(row)).sum::<f64>() / 4.0;
    assert!((mean - 50.0).abs() < 1e-9 && table.mean_test() == 25.0);
    // Equal values count half.
    let ties = csv("a,valid,test\n0,1,5\n1,1,5\n2,1,5\n").unwrap();
    assert!(ties.rows().all(|row| ties.percentile(row) == 50.0 && ties.regret(row) == 0.0));
    let one = csv("a,valid,test\n0,1,5\n").unwrap();
    assert_eq!(one.percentile(one.rows().next().unwrap()), 100.0);
}

#[test]
fn mutants_are_the_rows_that_differ_in_one_column() {
    let table = csv("a,b,valid,test\n0,0,1,1\n0,2,1,1\n1,0,1,1\n2,1,1,1\n").unwrap();
    let space = TableSpace(&table);
    let mut stream = Seed::new(1).stream("test", &[]);
    let mut mutants = |decisions: &[i64]| {
        let row = table.find(decisions).unwrap();
        let drawn: std::collections::BTreeSet<_> =
            (0..100).map(|_| table.decisions(space.mutated(&row, &mut stream))).collect();
        drawn.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(mutants(&[0, 0]), [[0, 2], [1, 0]]);
    // Without a neighbour it is any row.
    assert_eq!(mutants(&[2, 1]).len(), 4);
}

#[test]
fn tables_of_arcs_know_their_wide_rows() {
    let header = "i0,o0,i1,o1,j0,p0,j1,p1,valid,test\n";
    let arcs = csv(&format!("{header}0,1,1,2,0,0,1,4,1,1\n1,1,1,2,0,0,0,4,2,2\n")).unwrap();
    assert_eq!(arcs.wide_rows().unwrap().len(), 2);
    assert_eq!(csv(SMALL).unwrap().wide_rows(), None);
}

#[test]
fn what_is_wrong_with_a_csv_is_said_with_line_column_value_and_remedy() {
    for (text, parts) in [
        ("", &["line 1: the file is empty", "op1,op2,valid,test"][..]),
        ("\n\n", &["the file is empty"]),
        ("0,1,0.5,0.5\n", &["line 1: there is no header", "one per decision"]),
        ("a,b,valid\n", &["0 columns named test"]),
        ("a,valid,valid,test\n", &["2 columns named valid"]),
        ("a,a,valid,test\n", &["two columns are named a"]),
        ("a,,valid,test\n", &["a column has no name"]),
        ("valid,test\n1,1\n", &["no column of decisions"]),
        ("a,valid,test\n", &["no row below the header"]),
        ("a,valid,test\n0,1\n", &["line 2 has 2 values, the header names 3"]),
        ("a,valid,test\n0,1,1\n\n0.5,1,1\n", &["line 4, column a: `0.5` is not an integer"]),
        ("a,valid,test\n0,high,1\n", &["line 2, column valid: `high` is not a number"]),
        ("a,valid,test\n0,nan,1\n", &["line 2, column valid: NaN is not finite", "leave out the row"]),
        ("a,valid,test\n0,1,inf\n", &["line 2, column test: inf is not finite"]),
        ("a,valid,test\n0,1,1\n1,1,1\n0,2,2\n", &["line 4 repeats the decisions of line 2", "keep one"]),
    ] {
        let error = csv(text).unwrap_err();
        parts.iter().for_each(|part| assert!(error.contains(part), "{text:?}: {error}"));
    }
}

#[test]
fn what_is_wrong_with_json_is_said_with_its_place() {
    for (text, part) in [
        ("{}", "expected an array of objects"),
        ("[]", "no row"),
        ("[1]", "an object with one number per column"),
        (r#"[{"a":0,"valid":1}]"#, "object 1 has no test"),
        (r#"[{"a":0,"valid":1,"test":1},{"valid":1,"test":1}]"#, "object 2 has no a"),
        (r#"[{"a":0,"valid":1,"test":1},{"a":1,"b":1,"valid":1,"test":1}]"#, "that the first has not: b"),
        (r#"[{"a":0,"a":1,"valid":1,"test":1}]"#, "object 1 has a twice"),
        (r#"[{"a":0,"valid":1,"valid":1,"test":1}]"#, "object 1 has valid twice"),
        (r#"[{"a":0.5,"valid":1,"test":1}]"#, "object 1: a = 0.5 is not an integer"),
        (r#"[{"a":"x","valid":1,"test":1}]"#, "line 1"),
        (
            r#"[{"a":0,"valid":1,"test":1},{"a":0,"valid":1,"test":1}]"#,
            "object 2 repeats the decisions of object 1",
        ),
        (r#"[{"valid":1,"test":1}]"#, "no column of decisions"),
        (r#"[{"a":0,"valid":1,"test":1}"#, "EOF"),
        (r#"[{"a":0,"valid":1,"test":1}] 3"#, "trailing"),
    ] {
        let error = json(text).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn columns_that_are_no_decisions_and_lines_without_end_are_refused_before_memory_is_taken() {
    let rows: String = (0..5000).map(|i| format!("{i},{},1,1\n", i % 3)).collect();
    let error = csv(&format!("id,op,valid,test\n{rows}")).unwrap_err();
    assert!(error.contains("column id has 4094 different values so far"), "{error}");
    let error = csv(&format!("a,valid,test\n{}", "0".repeat(100_000))).unwrap_err();
    assert!(error.contains("line 2 is longer than"), "{error}");
    let names: String = (0..300).map(|i| format!("c{i},")).collect();
    assert!(
        csv(&format!("{names}valid,test\n")).unwrap_err().contains("300 columns of decisions are too many")
    );
}

#[test]
fn a_file_is_read_in_either_form_and_named_in_messages() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        fs::write(dir.path().join(name), text).unwrap();
        Table::open(&dir.path().join(name)).map_err(|e| e.to_string())
    };
    assert_eq!(write("t.csv", SMALL).unwrap(), csv(SMALL).unwrap());
    assert_eq!(write("t.json", "\n [{\"a\":0,\"valid\":1,\"test\":1}]").unwrap().n_rows(), 1);
    let error = write("bad.csv", "a,valid,test\nx,1,1\n").unwrap_err();
    assert!(error.ends_with("bad.csv: line 2, column a: `x` is not an integer"), "{error}");
    let missing = Table::open(&dir.path().join("none.csv")).unwrap_err().to_string();
    assert!(missing.contains("none.csv"), "{missing}");
}
