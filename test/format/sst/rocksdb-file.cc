// Writes one SST file with RocksDB itself and says what is in it. Arguments are name=value:
//   dir        an empty folder
//   mode       flush | compact (a database with that one file) | external (SstFileWriter) | ingested (that file, ingested with its sequence number written into it)
//   n, keys    how many operations, on how many different keys
//   keylen, vallen  lengths at most;  seed;  big=1: a value of 8 MB and a key of 10 KB are among them
//   ops        which operations: p put, d delete, s single delete, m merge, r delete range, w put wide columns
//   blobs      1: longer values go into blob files
//   snapshots  1: every version is kept
// and RocksDB's options by the names below. Prints "file PATH", then "row HEXKEY HEXVALUE" for what a reader of the database sees.
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/merge_operator.h>
#include <rocksdb/slice_transform.h>
#include <rocksdb/sst_file_writer.h>
#include <rocksdb/table.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

using namespace rocksdb;

static std::map<std::string, std::string> args;
static uint64_t state;

static std::string text(const char* name, const char* otherwise) {
  auto found = args.find(name);
  return found == args.end() ? otherwise : found->second;
}
static int number(const char* name, int otherwise) {
  auto found = args.find(name);
  return found == args.end() ? otherwise : atoi(found->second.c_str());
}
static void must(const Status& status) {
  if (status.ok()) return;
  fprintf(stderr, "%s\n", status.ToString().c_str());
  exit(1);
}
static uint32_t draw(uint32_t below) {
  state = state * 6364136223846793005ull + 1442695040888963407ull;
  return below == 0 ? 0 : static_cast<uint32_t>(state >> 33) % below;
}

// Keys share prefixes, hold any byte, and one of them is empty.
static std::string keyOf(uint32_t i) {
  if (i == 0) return "";
  if (i == 1 && number("big", 0)) return std::string(10 * 1024, 'k');
  uint64_t mixed = i * 0x9e3779b97f4a7c15ull;
  std::string key = i % 3 == 0 ? "user/" : i % 3 == 1 ? std::string("user\0\xff", 6) : "";
  int length = 1 + static_cast<int>((mixed >> 40) % static_cast<uint64_t>(number("keylen", 12)));
  for (int b = 0; b < length; b++) key.push_back(static_cast<char>(i >> (8 * (b % 4)) ^ (b >= 4 ? mixed >> b : 0)));
  key.push_back(static_cast<char>(i));
  key.push_back(static_cast<char>(i >> 8));
  return key;
}
static std::string newValue(bool big) {
  uint32_t length = big ? 8u << 20 : draw(static_cast<uint32_t>(number("vallen", 60)) + 1);
  std::string value(length, 'v');
  for (uint32_t b = 0; b < length; b += 3) value[b] = static_cast<char>(draw(256));
  return value;
}
static void hex(const Slice& bytes) {
  if (bytes.empty()) fputc('-', stdout);
  for (size_t i = 0; i < bytes.size(); i++) printf("%02x", static_cast<unsigned char>(bytes[i]));
}
static void row(const Slice& key, const Slice& value) {
  fputs("row ", stdout);
  hex(key);
  fputc(' ', stdout);
  hex(value);
  fputc('\n', stdout);
}

static Options makeOptions() {
  Options options;
  options.create_if_missing = true;
  options.db_host_id = "";
  options.disable_auto_compactions = true;
  options.write_buffer_size = 1u << 30;
  options.enable_blob_files = number("blobs", 0) != 0;
  options.min_blob_size = 30;
  options.target_file_size_base = 1ull << 32;
  const std::map<std::string, CompressionType> compressions = {
      {"none", kNoCompression}, {"snappy", kSnappyCompression}, {"zlib", kZlibCompression}, {"bzip2", kBZip2Compression},
      {"lz4", kLZ4Compression}, {"lz4hc", kLZ4HCCompression},   {"zstd", kZSTD}};
  options.compression = compressions.at(text("compression", "none"));
  if (number("level", 0)) options.compression_opts.level = number("level", 0);
  options.compression_opts.max_dict_bytes = static_cast<uint32_t>(number("dict", 0));
  options.compression_opts.parallel_threads = static_cast<uint32_t>(number("parallel", 1));
  options.bottommost_compression = options.compression;
  BlockBasedTableOptions table;
  table.format_version = static_cast<uint32_t>(number("format", 5));
  table.block_size = static_cast<size_t>(number("block", 4096));
  table.block_restart_interval = number("restart", 16);
  table.index_block_restart_interval = number("indexrestart", 1);
  table.block_align = number("align", 0) != 0;
  table.use_delta_encoding = number("delta", 1) != 0;
  table.checksum = static_cast<ChecksumType>(number("checksum", kXXH3));
  table.metadata_block_size = static_cast<uint64_t>(number("metablock", 4096));
  table.enable_index_compression = number("indexcompression", 1) != 0;
  const std::string index = text("index", "binary");
  if (index == "hash") {
    table.index_type = BlockBasedTableOptions::kHashSearch;
    options.prefix_extractor.reset(NewCappedPrefixTransform(2));
  }
  if (index == "twolevel") table.index_type = BlockBasedTableOptions::kTwoLevelIndexSearch;
  if (index == "firstkey") table.index_type = BlockBasedTableOptions::kBinarySearchWithFirstKey;
  const std::string shortening = text("shortening", "separators");
  table.index_shortening = shortening == "none" ? BlockBasedTableOptions::IndexShorteningMode::kNoShortening
                           : shortening == "successor"
                               ? BlockBasedTableOptions::IndexShorteningMode::kShortenSeparatorsAndSuccessor
                               : BlockBasedTableOptions::IndexShorteningMode::kShortenSeparators;
  if (number("hashdata", 0)) table.data_block_index_type = BlockBasedTableOptions::kDataBlockBinaryAndHash;
  const std::string filter = text("filter", "none");
  if (filter != "none") table.filter_policy.reset(filter == "ribbon" ? NewRibbonFilterPolicy(10) : NewBloomFilterPolicy(10));
  table.partition_filters = number("partitionfilters", 0) != 0;
  options.table_factory.reset(NewBlockBasedTableFactory(table));
  // Comes with the library; put, then merge: values joined by a comma.
  if (text("ops", "p").find('m') != std::string::npos) must(MergeOperator::CreateFromString({}, "stringappend", &options.merge_operator));
  if (text("comparator", "bytewise") == "reverse") options.comparator = ReverseBytewiseComparator();
  return options;
}

static std::string writeExternal(const Options& options, const std::string& path) {
  std::map<std::string, std::string> rows;
  const uint32_t n = static_cast<uint32_t>(number("n", 100));
  for (uint32_t i = 0; i < n; i++) rows[keyOf(draw(static_cast<uint32_t>(number("keys", 1000))))] = newValue(i == 3 && number("big", 0));
  const std::string ops = text("ops", "p");
  SstFileWriter writer(EnvOptions(), options);
  must(writer.Open(path));
  uint32_t i = 0;
  for (const auto& [key, value] : rows) {
    i++;
    if (ops.find('d') != std::string::npos && i % 5 == 0) {
      must(writer.Delete(key));
    } else {
      must(writer.Put(key, value));
      if (text("mode", "") == "external") row(key, value);
    }
  }
  // In any order, as SstFileWriter takes them; they do not hide what is in the same file.
  if (ops.find('r') != std::string::npos) {
    for (uint32_t r = 0; r < 5; r++) {
      std::string a = keyOf(draw(1000)), b = keyOf(draw(1000));
      if (a < b) must(writer.DeleteRange(a, b));
    }
  }
  must(writer.Finish());
  return path;
}

static void writeDatabase(DB* db, const std::string& mode) {
  const std::string ops = text("ops", "p");
  const uint32_t n = static_cast<uint32_t>(number("n", 100)), keys = static_cast<uint32_t>(number("keys", 1000));
  std::vector<const Snapshot*> snapshots;
  WriteOptions write;
  write.disableWAL = true;
  FlushOptions flush;
  if (number("snapshots", 0)) snapshots.push_back(db->GetSnapshot());
  for (uint32_t i = 0; i < n; i++) {
    const std::string key = keyOf(draw(keys));
    switch (ops[draw(static_cast<uint32_t>(ops.size()))]) {
      case 'p': must(db->Put(write, key, newValue(i == 3 && number("big", 0)))); break;
      case 'd': must(db->Delete(write, key)); break;
      case 's': must(db->SingleDelete(write, key)); break;
      case 'w': must(db->PutEntity(write, db->DefaultColumnFamily(), key, WideColumns{{"column", newValue(false)}})); break;
      case 'm': must(db->Merge(write, key, newValue(false))); break;
      case 'r': {
        const std::string other = keyOf(draw(keys));
        if (key < other) must(db->DeleteRange(write, db->DefaultColumnFamily(), key, other));
        break;
      }
    }
    if (number("snapshots", 0)) snapshots.push_back(db->GetSnapshot());
    if (mode == "compact" && i % (n / 3 + 1) == n / 3) must(db->Flush(flush));
  }
  must(db->Flush(flush));
  if (mode == "compact") must(db->CompactRange(CompactRangeOptions(), nullptr, nullptr));
  std::unique_ptr<Iterator> rows(db->NewIterator(ReadOptions()));
  for (rows->SeekToFirst(); rows->Valid(); rows->Next()) row(rows->key(), rows->value());
  must(rows->status());
  for (const Snapshot* snapshot : snapshots) db->ReleaseSnapshot(snapshot);
}

int main(int argc, char** argv) {
  for (int i = 1; i < argc; i++) {
    const std::string arg = argv[i];
    const size_t at = arg.find('=');
    args[arg.substr(0, at)] = arg.substr(at + 1);
  }
  state = static_cast<uint64_t>(number("seed", 1)) * 2654435761u;
  const std::string dir = text("dir", ""), mode = text("mode", "flush");
  const Options options = makeOptions();
  if (mode == "external") {
    printf("file %s\n", writeExternal(options, dir + "/external.sst").c_str());
    return 0;
  }
  DB* db = nullptr;
  must(DB::Open(options, dir + "/db", &db));
  if (mode == "ingested") {
    // Keys of the file are there already, so that it gets a sequence number above theirs.
    must(db->Put(WriteOptions(), "", "old"));
    must(db->Put(WriteOptions(), "zzz", "old"));
    must(db->Flush(FlushOptions()));
    IngestExternalFileOptions ingest;
    ingest.write_global_seqno = true;
    ingest.move_files = true;
    must(db->IngestExternalFile({writeExternal(options, dir + "/external.sst")}, ingest));
  } else {
    writeDatabase(db, mode);
  }
  std::vector<LiveFileMetaData> files;
  db->GetLiveFilesMetaData(&files);
  for (const auto& file : files) printf("file %s%s\n", file.db_path.c_str(), file.name.c_str());
  delete db;
  return 0;
}
