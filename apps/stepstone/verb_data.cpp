// stepstone data synth|stats|tokenize
#include <optional>

#include "data/stats.h"
#include "data/synth_files.h"
#include "data/tokenize.h"
#include "output.h"
#include "verbs.h"

namespace stepstone::cli {
namespace {

struct SynthFlags {
  std::string out, split = "train";
  SynthOptions options;
  SynthAmount amount;
  std::int64_t megabytes = 0;
  bool chats = false;
};

void run_synth(SynthFlags& flags) {
  if (flags.megabytes > 0) flags.amount.bytes = flags.megabytes << 20;
  const Synth synth(flags.options);
  const Split split = parse_split(flags.split);
  const SynthWritten written = flags.chats
                                   ? write_synth_chats(flags.out, synth, split, flags.amount)
                                   : write_synth_documents(flags.out, synth, split, flags.amount);
  put_note(fmt::format("{}: {} {}, {} bytes of text\n", flags.out, written.documents,
                       flags.chats ? "chats" : "documents", written.bytes));
}

void add_synth(CLI::App& data) {
  auto flags = std::make_shared<SynthFlags>();
  const CLI::Range amount(std::int64_t{0}, std::int64_t{1} << 40);
  CLI::App* verb = data.add_subcommand("synth", "Write a synthetic English and Chinese curriculum");
  verb->add_option("-o,--out", flags->out, "A .jsonl file, .gz or .zst for compression")
      ->required();
  verb->add_option("--split", flags->split, "train, val or test: they share no question")
      ->capture_default_str();
  verb->add_option("-n,--documents", flags->amount.documents, "Number of documents or chats")
      ->check(amount);
  verb->add_option("--megabytes", flags->megabytes, "Amount of text")->check(amount);
  verb->add_option("--seed", flags->options.seed, "Which documents")->capture_default_str();
  verb->add_option("--world-seed", flags->options.world_seed, "Which world they tell of")
      ->capture_default_str();
  verb->add_option("--level", flags->options.level, "Size of the world and of the tasks")
      ->check(CLI::Range(0, 2))
      ->capture_default_str();
  verb->add_option("--chinese", flags->options.chinese, "Share of Chinese")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  verb->add_flag("--chats", flags->chats, "Chats instead of documents");
  verb->callback([flags] { run_synth(*flags); });
}

void print_stats(const CorpusStats& s) {
  put_out(fmt::format("files       {}\ndocuments   {} ({} chats with {} messages)\n", s.files,
                      s.documents, s.chats, s.messages));
  put_out(fmt::format("bytes       {}\ncharacters  {}\nwords       {}\n", s.bytes, s.characters,
                      s.words));
  put_out(fmt::format("duplicates  {} documents, {} bytes\n", s.duplicates, s.duplicate_bytes));
  put_out(
      fmt::format("length      {} to {} characters, median {}\n", s.shortest, s.longest, s.median));
  put_out("languages  ");
  for (int i = 0; i < kTextLanguages; ++i) {
    const auto at = static_cast<std::size_t>(i);
    if (s.language_documents[at] == 0) continue;
    put_out(fmt::format(" {} {:.1f}%", name(static_cast<TextLanguage>(i)),
                        100.0 * static_cast<double>(s.language_bytes[at]) /
                            static_cast<double>(std::max<std::int64_t>(1, s.bytes))));
  }
  put_out(" (of the bytes)\n");
}

void add_stats(CLI::App& data) {
  auto paths = std::make_shared<std::vector<std::string>>();
  auto json = std::make_shared<bool>(false);
  CLI::App* verb = data.add_subcommand("stats", "Show what is in a corpus");
  verb->add_option("paths", *paths, "Files, folders or globs")->required();
  verb->add_flag("--json", *json, "Print JSON");
  verb->callback([paths, json] {
    const auto files = find_corpus_files(*paths);
    DocumentReader reader(files);
    const CorpusStats stats = corpus_stats(reader, static_cast<std::int64_t>(files.size()));
    if (*json) {
      put_out(dump_json(to_json(stats), 2) + "\n");
    } else {
      print_stats(stats);
    }
  });
}

struct TokenizeFlags {
  std::vector<std::string> paths;
  std::string tokenizer, out;
  double val_fraction = 0;
};

void run_tokenize(const TokenizeFlags& flags) {
  const Tokenizer tokenizer = Tokenizer::load(flags.tokenizer);
  TokenShardOptions options;
  options.vocab_size = tokenizer.vocab_size();
  options.tokenizer_hash = tokenizer_hash(tokenizer);
  options.mask = true;
  const std::filesystem::path out = flags.out;
  const bool split = flags.val_fraction > 0;
  ShardWriter train(split ? out / "train" : out, options);
  std::optional<ShardWriter> val;
  if (split) val.emplace(out / "val", options);
  DocumentReader reader(find_corpus_files(flags.paths));
  tokenize_corpus(reader, tokenizer, {.val_fraction = flags.val_fraction}, train,
                  val ? &*val : nullptr);
  tokenizer.save(train.path());  // so that the folder says what its numbers mean
  if (val && val->tokens() > 0) val->finish();
  train.finish();
  put_note(fmt::format("{}: {} documents, {} tokens{}\n", flags.out, train.documents(),
                       train.tokens(),
                       val ? fmt::format("; {} tokens for validation", val->tokens()) : ""));
}

void add_tokenize(CLI::App& data) {
  auto flags = std::make_shared<TokenizeFlags>();
  CLI::App* verb = data.add_subcommand("tokenize", "Turn a corpus into memory-mapped token shards");
  verb->add_option("paths", flags->paths, "Files, folders or globs")->required();
  verb->add_option("--tokenizer", flags->tokenizer, "tokenizer.json or a model folder")->required();
  verb->add_option("-o,--out", flags->out, "Folder for the shards")->required();
  verb->add_option("--val-fraction", flags->val_fraction,
                   "Share of the documents, by a hash of each, for a part val/ beside train/")
      ->check(CLI::Range(0.0, 0.9));
  verb->callback([flags] { run_tokenize(*flags); });
}

}  // namespace

void add_data(CLI::App& app) {
  CLI::App* data = app.add_subcommand("data", "Make, look at and tokenise corpora");
  data->require_subcommand(1);
  add_synth(*data);
  add_stats(*data);
  add_tokenize(*data);
}

}  // namespace stepstone::cli
