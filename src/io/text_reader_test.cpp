#include "io/text_reader.h"

#include "core/random.h"
#include "io/file.h"
#include "io/test_support.h"
#include "io/utf8.h"

namespace fs = std::filesystem;

namespace stepstone {
namespace {

using testing::format_error_mismatch;
using testing::message_of;
using testing::put;
using testing::ScratchFolder;

std::string sample_text(std::size_t bytes) {
  Random random(7);
  std::string text;
  while (text.size() < bytes) {
    text += fmt::format("line {} 中文 é 😀 {}\n", text.size(), random.next_u64());
    if (random.below(50) == 0) text += std::string(random.below(3000), 'x') + "\n";
  }
  return text;
}

void write_output(const fs::path& path, const std::string& text) {
  const auto output = open_output(path);
  output->write(text);
  output->commit();
}

std::string read_all(const fs::path& path, const DecompressLimits& limits = {}) {
  const auto input = open_input(path, limits);
  std::string text, piece(12'345, '\0');
  while (const std::size_t n = input->read(piece.data(), piece.size())) text.append(piece, 0, n);
  return text;
}

std::vector<std::string> lines_of(const fs::path& path, std::size_t max_line = 1 << 20) {
  LineReader reader(path, max_line);
  std::vector<std::string> lines;
  std::string_view line;
  while (reader.next(line)) lines.emplace_back(line);
  EXPECT_EQ(reader.line_number(), lines.size());
  return lines;
}

TEST(Compress, RoundTrip) {
  ScratchFolder folder;
  for (const std::size_t bytes : {0, 1, 1000, 3'000'000}) {
    const std::string text = sample_text(bytes);
    for (const char* name : {"a.txt", "a.txt.gz", "a.txt.zst"}) {
      write_output(folder / name, text);
      EXPECT_EQ(read_all(folder / name), text) << name;
      fs::rename(folder / name, folder / "renamed");
      EXPECT_EQ(read_all(folder / "renamed"), text) << name;
    }
  }
  const auto abandoned = open_output(folder / "b.zst");
  abandoned->write("x");
  EXPECT_FALSE(fs::exists(folder / "b.zst"));
}

TEST(Compress, MembersFollowEachOther) {
  ScratchFolder folder;
  for (const char* name : {"a.gz", "a.zst"}) {
    write_output(folder / name, sample_text(700'000));
    const std::string one = read_file(folder / name);
    put(folder / name, one + one + one);
    EXPECT_EQ(read_all(folder / name),
              sample_text(700'000) + sample_text(700'000) + sample_text(700'000))
        << name;
  }
}

TEST(Compress, TruncatedAtEveryByteAndDamaged) {
  ScratchFolder folder;
  for (const std::string name : {"a.gz", "a.zst"}) {
    const std::string field = name == "a.gz" ? "gzip" : "zstd";
    write_output(folder / name, sample_text(400));
    const std::string good = read_file(folder / name);
    for (std::size_t i = 0; i < good.size(); ++i) {
      put(folder / name, good.substr(0, i));
      EXPECT_EQ(format_error_mismatch([&] { read_all(folder / name); }, field), "") << i;
    }
    int damaged = 0;
    for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
      std::string bad = good;
      bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
      put(folder / name, bad);
      try {
        // Some bits (a time stamp, a file name flag) carry no content.
        EXPECT_EQ(read_all(folder / name), sample_text(400)) << bit;
      } catch (const FormatError& error) {
        EXPECT_EQ(error.field(), field);
        ++damaged;
      }
    }
    EXPECT_GT(damaged, static_cast<int>(7 * good.size()));
    put(folder / name, good + "junk");
    EXPECT_EQ(format_error_mismatch([&] { read_all(folder / name); }, field), "");
    put(folder / name, "plain text");
    EXPECT_EQ(format_error_mismatch([&] { read_all(folder / name); }, field), "");
  }
  put(folder / "a.txt", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
  EXPECT_EQ(format_error_mismatch([&] { read_all(folder / "a.txt"); }, "content"), "");
  EXPECT_THROW(read_all(folder / "absent.gz"), IoError);
}

TEST(Compress, Bombs) {
  ScratchFolder folder;
  const std::string text(20'000'000, 'a');
  write_output(folder / "a.zst", text);
  ASSERT_LT(fs::file_size(folder / "a.zst"), 10'000u);
  EXPECT_EQ(read_all(folder / "a.zst"), text);
  const auto message = [&](const DecompressLimits& limits) {
    return message_of<FormatError>([&] { read_all(folder / "a.zst", limits); });
  };
  EXPECT_NE(message({.free_bytes = 1'000'000}).find("more than 1000 times"), std::string::npos);
  EXPECT_NE(message({.max_bytes = 19'999'999}).find("limit of 19999999"), std::string::npos);
  EXPECT_EQ(format_error_mismatch(
                [&] {
                  LineReader reader(folder / "a.zst", 1000);
                  std::string_view line;
                  reader.next(line);
                },
                "line 1"),
            "");
}

TEST(LineReader, EndsOfLines) {
  ScratchFolder folder;
  put(folder / "a",
      "one\ntwo\r\n\nfour\rstill\n\xef\xbb\xbf"
      "five\nno end");
  EXPECT_EQ(lines_of(folder / "a"), (std::vector<std::string>{"one", "two", "", "four\rstill",
                                                              "\xef\xbb\xbf"
                                                              "five",
                                                              "no end"}));
  put(folder / "a", "\xef\xbb\xbfone\n");
  EXPECT_EQ(lines_of(folder / "a"), (std::vector<std::string>{"one"}));
  put(folder / "a", "");
  EXPECT_EQ(lines_of(folder / "a"), (std::vector<std::string>{}));
  put(folder / "a", "\n\n");
  EXPECT_EQ(lines_of(folder / "a"), (std::vector<std::string>{"", ""}));
  put(folder / "a", std::string("nul\0inside\n", 11));
  EXPECT_EQ(lines_of(folder / "a"), (std::vector<std::string>{std::string("nul\0inside", 10)}));
}

TEST(LineReader, LongestLine) {
  ScratchFolder folder;
  for (const std::size_t max : {std::size_t{1}, std::size_t{100}, std::size_t{100'000}}) {
    const std::string fits(max, 'x');
    put(folder / "a", fits + "\r\n" + fits + "\n" + fits);
    EXPECT_EQ(lines_of(folder / "a", max), (std::vector<std::string>{fits, fits, fits}));
    for (const char* end : {"", "\n", "\r\n", "x\n", "xxxxx"}) {
      put(folder / "a", fits + "\n" + fits + "x" + end);
      EXPECT_EQ(format_error_mismatch([&] { lines_of(folder / "a", max); }, "line 2"), "");
    }
  }
}

TEST(LineReader, SameLinesFromEveryFormat) {
  ScratchFolder folder;
  const std::string text = sample_text(2'000'000);
  std::vector<std::string> expected;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t end = text.find('\n', i);
    expected.push_back(text.substr(i, end - i));
    i = end + 1;
  }
  for (const char* name : {"a.txt", "a.txt.gz", "a.txt.zst"}) {
    write_output(folder / name, text);
    EXPECT_EQ(lines_of(folder / name), expected) << name;
  }
}

TEST(TextReader, NeverCutsACharacter) {
  ScratchFolder folder;
  const std::string text = sample_text(20'000);
  put(folder / "a", text);
  put(folder / "marked", "\xef\xbb\xbf" + text);
  for (const char* name : {"a", "marked"}) {
    for (const std::size_t chunk : {4, 5, 6, 7, 1000, 1'000'000}) {
      TextReader reader(folder / name, chunk);
      std::string all;
      std::string_view piece;
      while (reader.next(piece)) {
        EXPECT_TRUE(is_utf8(piece));
        EXPECT_LE(piece.size(), chunk);
        all += piece;
      }
      EXPECT_EQ(all, text) << name << " " << chunk;
    }
  }
  put(folder / "broken", std::string("\xff\x80\x80\x80\x80\x80\x80\xf0\x9f", 9));
  TextReader reader(folder / "broken", 4);
  std::string all;
  std::string_view piece;
  while (reader.next(piece)) all += piece;
  EXPECT_EQ(all, read_file(folder / "broken"));
}

TEST(Utf8, Validity) {
  for (const char* good : {"", "a", "\x7f", "é", "中", "😀", "\xed\x9f\xbf", "\xee\x80\x80",
                           "\xf4\x8f\xbf\xbf", "\xc2\x80", "\xe0\xa0\x80", "\xf0\x90\x80\x80"}) {
    EXPECT_TRUE(is_utf8(good)) << good;
    EXPECT_EQ(to_utf8_lossy(good), good);
  }
  for (const char* bad : {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80",
                          "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff",
                          "\xe4", "\xe4\xb8", "\xf0\x9f\x98", "a\xc3", "\xc3(", "\xe4\xb8("}) {
    EXPECT_FALSE(is_utf8(bad)) << bad;
    EXPECT_TRUE(is_utf8(to_utf8_lossy(bad))) << bad;
  }
  // The example of the Unicode standard, table 3-8.
  EXPECT_EQ(to_utf8_lossy("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41"),
            "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
            "\xef\xbf\xbd\x41");
  EXPECT_EQ(to_utf8_lossy("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41"),
            "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\x41");
}

}  // namespace
}  // namespace stepstone
