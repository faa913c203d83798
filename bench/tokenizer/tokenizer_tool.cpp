// The tokenizer library for scripts that compare it with others. Texts come in files of documents
// with a NUL byte after each; ids go out as little-endian i32, with -1 after each document.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/threads.h"
#include "io/atomic_file.h"
#include "io/file.h"
#include "tokenizer/bench.h"
#include "tokenizer/chat_template.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_model.h"
#include "tokenizer/train_bpe.h"

namespace {

using namespace stepstone;

std::vector<std::string> read_documents(const std::string& path) {
  const std::string bytes = read_file(path);
  std::vector<std::string> documents;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t end = std::min(bytes.find('\0', at), bytes.size());
    documents.push_back(bytes.substr(at, end - at));
    at = end + 1;
  }
  return documents;
}

void encode(const std::string& tokenizer_path, const std::string& texts, const std::string& out,
            bool specials) {
  const Tokenizer tokenizer = Tokenizer::load(tokenizer_path);
  std::vector<std::int32_t> ids;
  for (const std::string& text : read_documents(texts)) {
    const auto part = specials ? tokenizer.encode_with_specials(text) : tokenizer.encode(text);
    require(specials || tokenizer.model().kind == TokenizerModel::Kind::pipeline ||
                tokenizer.decode(part) == text,
            "decoding does not give the text back");
    ids.insert(ids.end(), part.begin(), part.end());
    ids.push_back(-1);
  }
  write_file(out, {reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof ids[0]});
}

void speed(const std::string& tokenizer_path, const std::vector<std::string>& files, int passes) {
  const Tokenizer tokenizer = Tokenizer::load(tokenizer_path);
  for (const std::string& file : files) {
    const EncodeSpeed speed = measure_encode(tokenizer, read_documents(file), passes);
    std::printf("{\"bytes\": %ld, \"tokens\": %ld, \"seconds\": %.6f}\n",
                static_cast<long>(speed.bytes), static_cast<long>(speed.tokens), speed.seconds);
    std::fflush(stdout);
  }
}

void train(const std::string& texts, const std::string& out, const BpeTrainOptions& options) {
  std::vector<std::string> documents = read_documents(texts);
  std::size_t next = 0;
  BpeTrainReport report;
  const auto start = std::chrono::steady_clock::now();
  const Tokenizer tokenizer = train_bpe(
      [&](std::string& text) {
        if (next == documents.size()) return false;
        text = documents[next++];
        return true;
      },
      options, &report);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  tokenizer.save(out);
  std::printf(
      "{\"seconds\": %.6f, \"vocab_size\": %d, \"words\": %lu, \"words_left_out\": %lu, "
      "\"sorted_runs\": %lu}\n",
      seconds.count(), tokenizer.vocab_size(), report.words, report.words_left_out,
      report.sorted_runs);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Tokenizer library for comparison scripts");
  app.require_subcommand(1);
  std::string tokenizer, texts, out;
  std::vector<std::string> files;
  bool specials = false;
  int passes = 3;
  auto* encode_command = app.add_subcommand("encode", "ids of the documents of a file");
  encode_command->add_option("tokenizer", tokenizer)->required();
  encode_command->add_option("texts", texts)->required();
  encode_command->add_option("out", out)->required();
  encode_command->add_flag("--specials", specials);
  auto* speed_command = app.add_subcommand("speed", "encoding speed, one JSON line per file");
  speed_command->add_option("tokenizer", tokenizer)->required();
  speed_command->add_option("files", files)->required();
  speed_command->add_option("--passes", passes);
  auto* copy_command = app.add_subcommand("copy", "loads a tokenizer and saves it");
  copy_command->add_option("tokenizer", tokenizer)->required();
  copy_command->add_option("out", out)->required();
  auto* bytes_command = app.add_subcommand("bytes", "saves a byte tokenizer with ChatML's tokens");
  auto* characters_command = app.add_subcommand("characters", "saves the characters of a file");
  for (auto* command : {bytes_command, characters_command}) {
    command->add_option("texts", texts)->required();
    command->add_option("out", out)->required();
  }
  auto* jinja_command = app.add_subcommand("jinja", "prints the chat template");
  BpeTrainOptions options;
  int threads = 0;
  auto* train_command = app.add_subcommand("train", "trains on the documents of a file");
  train_command->add_option("texts", texts)->required();
  train_command->add_option("out", out)->required();
  train_command->add_option("--vocab-size", options.vocab_size);
  train_command->add_option("--memory-bytes", options.memory_bytes);
  train_command->add_option("--special", options.special_tokens);
  train_command->add_option("--threads", threads);
  CLI11_PARSE(app, argc, argv);
  try {
    if (*encode_command) encode(tokenizer, texts, out, specials);
    if (*speed_command) speed(tokenizer, files, passes);
    if (*bytes_command) Tokenizer::bytes(ChatTemplate::special_tokens()).save(out);
    if (*characters_command) {
      Tokenizer::characters(read_documents(texts).at(0), ChatTemplate::special_tokens()).save(out);
    }
    if (*jinja_command) std::printf("%s", std::string(ChatTemplate::jinja()).c_str());
    if (threads > 0) set_num_threads(threads);
    if (*train_command) train(texts, out, options);
    if (*copy_command) Tokenizer::load(tokenizer).save(out);
  } catch (const Error& error) {
    std::fprintf(stderr, "tokenizer_tool: %s\n", error.what());
    return 1;
  }
  return 0;
}
