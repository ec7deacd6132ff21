// Writes an SST file with RocksDB's own SstFileWriter, or measures how fast it does.
//
//   sst-file-writer write OUT FORMAT_VERSION COMPRESSION BLOCK_SIZE RESTART_INTERVAL < rows
//   sst-file-writer bench OUT FORMAT_VERSION COMPRESSION BLOCK_SIZE RESTART_INTERVAL < rows
//
// rows: u32 key length, u32 value length, key, value, and so on, in key order, little-endian. COMPRESSION: RocksDB's number of it. `bench` reads all rows first and prints the seconds from opening the file to having finished it.

#include <rocksdb/options.h>
#include <rocksdb/sst_file_writer.h>
#include <rocksdb/table.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

using rocksdb::Slice;
using rocksdb::Status;

static void Must(const Status& status) {
  if (status.ok()) return;
  fprintf(stderr, "%s\n", status.ToString().c_str());
  exit(1);
}

static std::string ReadInput() {
  std::string input;
  std::vector<char> piece(1 << 20);
  size_t length;
  while ((length = fread(piece.data(), 1, piece.size(), stdin)) > 0) input.append(piece.data(), length);
  return input;
}

int main(int argc, char** argv) {
  if (argc != 7) {
    fprintf(stderr, "usage: sst-file-writer write|bench OUT FORMAT_VERSION COMPRESSION BLOCK_SIZE RESTART_INTERVAL\n");
    return 2;
  }
  rocksdb::BlockBasedTableOptions table;
  table.format_version = static_cast<uint32_t>(atoi(argv[3]));
  table.block_size = static_cast<size_t>(atoll(argv[5]));
  table.block_restart_interval = atoi(argv[6]);
  table.checksum = rocksdb::kCRC32c;
  rocksdb::Options options;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  options.compression = static_cast<rocksdb::CompressionType>(atoi(argv[4]));
  options.compression_opts.level = options.compression == rocksdb::kZSTD ? 3 : options.compression_opts.level;

  const std::string input = ReadInput();
  std::vector<std::pair<Slice, Slice>> rows;
  // Values that are the same lie in one place, as they do on the other side of the bench: neither has to fetch them from far away.
  std::unordered_map<std::string_view, Slice> values;
  for (size_t at = 0; at < input.size();) {
    uint32_t lengths[2];
    memcpy(lengths, input.data() + at, sizeof lengths);
    at += sizeof lengths;
    const Slice value(input.data() + at + lengths[0], lengths[1]);
    rows.emplace_back(Slice(input.data() + at, lengths[0]),
                      values.emplace(std::string_view(value.data(), value.size()), value).first->second);
    at += lengths[0] + lengths[1];
  }

  const auto begin = std::chrono::steady_clock::now();
  rocksdb::SstFileWriter writer(rocksdb::EnvOptions(), options);
  Must(writer.Open(argv[2]));
  for (const auto& row : rows) Must(writer.Put(row.first, row.second));
  Must(writer.Finish());
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  if (strcmp(argv[1], "bench") == 0) printf("%.6f\n", seconds.count());
  return 0;
}
