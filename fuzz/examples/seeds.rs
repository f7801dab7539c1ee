//! Writes the initial corpus of every fuzz target. Run it in this folder: `cargo run --release --example seeds`.
#![forbid(unsafe_code)]

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use enas_arc::Arc;
use enas_search::{ConfigBuilder, Run, SearchConfig, Settings as _, TrainConfig};
use flate2::Compression;
use flate2::write::GzEncoder;
use zip::write::{SimpleFileOptions, ZipWriter};

const ARC: &str = "0 0 1 4 2 2 0 3 0 1 1 4 2 2 1 3";
const TINY_ARC: &str = "0 0 1 2 0 3 1 4";

fn main() {
    arcs();
    config();
    idx();
    cifar();
    zips();
    models();
    logs();
    records();
    http();
    // Changes of a checkpoint's header, text and numbers: 3 bytes of position and 1 byte to add each.
    write("checkpoints", "changes", b"\x01\x00\x00\x00\x01\x00\x00\x40\x02\x00\x10\x00\x80");
    write("checkpoints", "none", b"\x01");
}

fn write(target: &str, name: &str, bytes: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder).expect("the folder can be made");
    fs::write(folder.join(name), bytes).expect("the file can be written");
}

fn arcs() {
    let arc: Arc = ARC.parse().expect("a valid arc");
    write("arcs", "integers", ARC.as_bytes());
    write("arcs", "commas", format!("# found today\n[{}]\n", ARC.replace(' ', ", ")).as_bytes());
    write("arcs", "readable", arc.readable().as_bytes());
    write("arcs", "one-line", arc.readable().replace('\n', "; ").to_uppercase().as_bytes());
    write("arcs", "json", format!("{{\"arc\": \"{ARC}\", \"valid_accuracy\": 0.5}}").as_bytes());
    write("arcs", "bytes", &arc.to_ints().into_iter().map(|n| n as u8).collect::<Vec<u8>>());
}

fn config() {
    for preset in enas_search::presets() {
        write("config", &format!("{}-search", preset.name), preset.search.as_bytes());
        write("config", &format!("{}-train", preset.name), preset.train.as_bytes());
    }
    let search = SearchConfig::defaults();
    let train = TrainConfig::defaults();
    write("config", "default-search", search.as_bytes());
    write("config", "default-train", train.as_bytes());
    let assignments =
        "\0run.epochs=3\nschedule.kind=staircase\ndata.path=./7\ncontroller.temperature=\nchild.filterz=8\n";
    write("config", "assignments", format!("{search}{assignments}").as_bytes());
    write(
        "config",
        "only-assignments",
        format!("{assignments}run.time=\"30m\"\nrun.class_weights=[1.0, 2.0]").as_bytes(),
    );
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory can be written");
    encoder.finish().expect("memory can be written")
}

fn idx() {
    let images = [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 2][..], &[7; 12]].concat();
    let labels = [0, 0, 8, 1, 0, 0, 0, 2, 5, 9];
    for (name, rank, bytes) in [
        ("pictures", 3, images.clone()),
        ("pictures-gz", 3, gzip(&images)),
        ("labels", 1, labels.to_vec()),
        ("labels-gz", 1, gzip(&labels)),
    ] {
        write("idx", name, &[&[rank], &bytes[..]].concat());
    }
}

fn cifar() {
    let record = |label: u8| [&[label][..], &[label * 20; 3072]].concat();
    let batch = [record(3), record(9)].concat();
    let mut builder = tar::Builder::new(Vec::new());
    for name in
        ["data_batch_1.bin", "data_batch_2.bin", "x/data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"]
    {
        append(&mut builder, name, &record(1));
    }
    append(&mut builder, "test_batch.bin", &record(2));
    let tar = builder.into_inner().expect("memory can be written");
    write("cifar", "archive", &[&[0], &gzip(&tar)[..]].concat());
    let mut builder = tar::Builder::new(Vec::new());
    append(&mut builder, &format!("{}/data_batch_1.bin", "long".repeat(40)), b"short");
    append(&mut builder, "test_batch", b"short");
    write("cifar", "tar", &[&[1], &builder.into_inner().expect("memory can be written")[..]].concat());
    write("cifar", "records", &[&[3], &batch[..]].concat());
    write("cifar", "pickle-2", &[&[2], &python2()[..]].concat());
    write("cifar", "pickle-3", &[&[2], &python3()[..]].concat());
}

fn append(builder: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    builder.append_data(&mut header, name, bytes).expect("memory can be written");
}

/// A pickled batch with one image, as Python 2 wrote the published files.
fn python2() -> Vec<u8> {
    let mut p = b"\x80\x02}q\x01(U\x06labelsq\x02]q\x03(K\x07eU\x04dataq\x04cnumpy.core.multiarray\n_reconstruct\nq\x05\
                  cnumpy\nndarray\nq\x06K\x00\x85U\x01b\x87Rq\x07(K\x01K\x01M\x00\x0c\x86cnumpy\ndtype\nq\x08U\x02u1K\x00\
                  K\x01\x87Rq\x09(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T\x00\x0c\x00\x00"
        .to_vec();
    p.extend([0x55; 3072]);
    p.extend(b"tbu.");
    p
}

/// The same as written by Python 3: byte strings are strings with a call that encodes them.
fn python3() -> Vec<u8> {
    let encoded = |text: &str| {
        let mut p = b"c_codecs\nencode\nX".to_vec();
        p.extend((text.len() as u32).to_le_bytes());
        p.extend(text.bytes());
        p.extend(b"X\x06\x00\x00\x00latin1\x86R");
        p
    };
    [
        b"\x80\x02}(",
        &encoded("labels")[..],
        b"](K\x05e",
        &encoded("data"),
        b"cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85",
        &encoded("b"),
        b"\x87R(K\x01K\x01M\x00\x0c\x86cnumpy\ndtype\nX\x02\x00\x00\x00u1\x89\x88\x87R",
        b"(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89",
        &encoded(&"U".repeat(3072)),
        b"tbu.",
    ]
    .concat()
}

fn png(shade: u8) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let image =
        image::GrayImage::from_fn(3, 2, |x, y| image::Luma([shade.wrapping_mul((x + 3 * y) as u8)]));
    image.write_to(&mut bytes, image::ImageFormat::Png).expect("memory can be written");
    bytes.into_inner()
}

fn zips() {
    let made = |names: &[&str], method| {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(method);
        for (i, name) in names.iter().enumerate() {
            match name.strip_suffix('/') {
                Some(folder) => zip.add_directory(folder, options).expect("memory can be written"),
                None => {
                    zip.start_file(*name, options).expect("memory can be written");
                    zip.write_all(&png(i as u8 + 1)).expect("memory can be written");
                }
            }
        }
        zip.finish().expect("memory can be written").into_inner()
    };
    let six = ["a/0.png", "a/1.png", "a/2.png", "b/0.png", "b/1.png", "b/2.png"];
    write("zips", "stored", &made(&six, zip::CompressionMethod::Stored));
    write("zips", "deflated", &made(&six, zip::CompressionMethod::Deflated));
    let splits =
        ["w/", "w/train/", "w/train/a/0.png", "w/train/b/0.png", "w/test/a/1.png", "__MACOSX/._x", "w/x.txt"];
    write("zips", "splits", &made(&splits, zip::CompressionMethod::Stored));
    write(
        "zips",
        "evil",
        &made(&["a/0.png", "../b.png", "/c.png", "a\\..\\..\\d.png"], zip::CompressionMethod::Stored),
    );
    write(
        "zips",
        "spelling",
        &made(&["a/x.png", "a/X.png", "A/y.png", "b/\u{e9}.png"], zip::CompressionMethod::Stored),
    );
}

fn models() {
    let settings = [
        "run.epochs=1",
        "run.batch_size=512",
        "data.image_size=4",
        "child.filters=2",
        "child.layers=1",
        "child.nodes=1",
        "child.aux_head=off",
    ];
    let layers = settings.iter().fold(ConfigBuilder::preset("quick"), |layers, setting| layers.set(*setting));
    let config: TrainConfig = layers.load().expect("the settings are valid");
    let data = enas_data::load(&config.data, &enas_data::LoadOptions::new(config.run.seed()))
        .expect("the digits are built in");
    let folder = tempfile::tempdir().expect("temporary files can be made");
    let arc: Arc = TINY_ARC.parse().expect("a valid arc");
    let dir: PathBuf = folder.path().join("run");
    let mut run = Run::for_training(Some(&dir), &config, &arc, &data).expect("temporary files can be made");
    enas_search::train(&config, &arc, &data, &mut run, &mut ()).expect("it trains");
    let model = fs::read(run.model_path()).expect("it was written");
    write("models", "file", &[&[0], &model[..]].concat());
    let length = u64::from_le_bytes(model[..8].try_into().expect("eight bytes")) as usize;
    write("models", "header", &[&[1], &model[8..8 + length]].concat());
}

const LOG: &str = r#"{"t":0.5,"kind":"step","epoch":1,"step":10,"loss":2.0,"accuracy":0.1,"lr":0.05,"grad_norm":1.5}
{"t":0.6,"kind":"controller","epoch":1,"step":1,"accuracy":0.2,"reward":0.2,"baseline":0.1,"entropy":9.5,"loss":-1}
{"t":0.9,"kind":"epoch","epoch":1,"epochs":4,"loss":1.5,"valid_accuracy":0.25,"policy":{"accuracy":0.2,"reward":0.2,"baseline":0.1,"entropy":3.5,"op_frequencies":[[0.2,0.2,0.2,0.2,0.2],[1,0,0,0,0]],"greedy":"0 0 1 4 2 2 0 3 0 1 1 4 2 2 1 3"}}
{"t":1.0,"kind":"candidate","arc":"0 0 1 4 2 2 0 3 0 1 1 4 2 2 1 3","origin":"greedy","accuracy":0.5}
{"t":1.1,"kind":"candidate","arc":"0 0 1 4 2 2 0 3 0 1 1 4 2 2 1 2","origin":"random","accuracy":0.25}
{"t":1.2,"kind":"result","arc":"0 0 1 4 2 2 0 3 0 1 1 4 2 2 1 3","valid_accuracy":0.5,"epochs":4,"seconds":1.2}
"#;

fn logs() {
    write("logs", "search", LOG.as_bytes());
    let hostile = "{\"kind\":\"<script>\",\"t\":1e308}\n{\"kind\":\"epoch\",\"epoch\":\"<fuzz>\",\"policy\":{\"greedy\":\"<fuzz>\"}}\n\
                   {\"kind\":\"result\",\"arc\":\"<script>\",\"valid_accuracy\":\"<fuzz>\"}\ntorn";
    write("logs", "hostile", hostile.as_bytes());
}

fn records() {
    let manifest = format!(
        "{{\"kind\":\"train\",\"version\":\"0.1.0\",\"revision\":\"x\",\"device\":\"cpu\",\"threads\":1,\"data\":\"digits\",\
         \"fingerprint\":{{\"files\":2,\"sha256\":\"00\"}},\"arc\":\"{ARC}\",\"search\":\"../s\"}}"
    );
    let split = r#"{"classes":["0","1"],"train":["0/a.png","1/b.png"],"valid":["0/c.png"],"test":[]}"#;
    let arc = format!("{{\"arc\":\"{ARC}\",\"normal\":[0],\"valid_accuracy\":0.5}}");
    let auto = r#"{"version":"0.1.0","data":"digits","fingerprint":{"files":2,"sha256":"00"},"time":"30m","finish":1.5,"seconds":3,"plan":null}"#;
    let search = SearchConfig::defaults();
    let train = TrainConfig::defaults();
    let all = [&manifest, split, &arc, train, auto, search, train];
    write("records", "train", all.join("\0").as_bytes());
    write(
        "records",
        "search",
        [&manifest.replace("train", "search"), split, &arc, search].join("\0").as_bytes(),
    );
}

fn http() {
    let requests = [
        ("overview", "GET / HTTP/1.1\r\nHost: localhost:6007\r\n\r\n"),
        ("run", "GET /run/r HTTP/1.1\r\nHost: 127.0.0.1:6007\r\nConnection: close\r\n\r\n"),
        ("traversal", "GET /run/../../secret HTTP/1.1\r\nHost: [::1]:6007\r\n\r\n"),
        ("encoded", "GET /report/%2e%2e%2fsecret HTTP/1.1\r\nHost: localhost:6007\r\n\r\n"),
        ("events", "GET /events/r HTTP/1.1\r\nHost: localhost:6007\r\nAccept: text/event-stream\r\n\r\n"),
        (
            "rebinding",
            "GET http://evil.example:6007/ HTTP/1.1\r\nHost: evil.example:6007\r\nOrigin: http://evil.example\r\n\r\n",
        ),
        ("post", "POST /run/r HTTP/1.1\r\nHost: localhost:6007\r\nContent-Length: 5\r\n\r\nhello"),
        (
            "chunked",
            "HEAD / HTTP/1.1\r\nHost: localhost:6007\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        (
            "two",
            "GET /live.js HTTP/1.1\r\nHost: localhost:6007\r\n\r\nGET /style.css HTTP/1.0\r\nHost: localhost:6007\r\n\r\n",
        ),
    ];
    requests.iter().for_each(|(name, request)| write("http", name, request.as_bytes()));
}
