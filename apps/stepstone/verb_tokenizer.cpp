// stepstone tokenizer train | encode | decode | info
#include "data/readers.h"
#include "io/file.h"
#include "io/utf8.h"
#include "output.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_report.h"
#include "tokenizer/train_bpe.h"
#include "verbs.h"

namespace stepstone::cli {
namespace {

struct TokenizerFlags {
  std::vector<std::string> data;
  std::string out, pattern = "llama3";
  std::int32_t vocab_size = 4096;
  std::uint64_t memory = std::uint64_t{1} << 30;
  std::string model, text, file;
  std::vector<std::string> ids;
  bool control = false, skip_control = false, pieces = false, json = false;
};

std::string input(const TokenizerFlags& flags, bool given) {
  if (given) return flags.text;
  return read_input(flags.file.empty() ? "-" : flags.file);
}

// Documents as text; the messages of a chat one after another.
TextSource texts_of(DocumentReader& reader) {
  return [&reader, document = Document()](std::string& text) mutable {
    if (!reader.next(document)) return false;
    text = std::move(document.text);
    for (const Message& message : document.messages) text += message.content + "\n";
    return true;
  };
}

void train(const TokenizerFlags& flags) {
  BpeTrainOptions options;
  options.vocab_size = flags.vocab_size;
  options.memory_bytes = flags.memory;
  options.pattern = parse_pattern(flags.pattern);
  for (const std::string& token : ChatTemplate::special_tokens()) {
    options.special_tokens.push_back(token);
  }
  const auto files = find_corpus_files(flags.data);
  DocumentReader reader(files);
  BpeTrainReport report;
  const Tokenizer tokenizer = train_bpe(texts_of(reader), options, &report);
  tokenizer.save(flags.out);
  const Json json = {{"vocab_size", tokenizer.vocab_size()},
                     {"files", files.size()},
                     {"documents", reader.documents()},
                     {"bytes", report.bytes},
                     {"words", report.words},
                     {"words_left_out", report.words_left_out},
                     {"out", flags.out}};
  if (flags.json) return put_out(dump_json(json) + "\n");
  put_out(fmt::format("{} tokens from {} bytes ({} distinct words) in {}\n", tokenizer.vocab_size(),
                      report.bytes, report.words, flags.out));
  if (report.words_left_out > 0) {
    put_note(fmt::format("note: the {} rarest words ({} occurrences) did not fit --memory\n",
                         report.words_left_out, report.left_out_occurrences));
  }
}

void encode(const TokenizerFlags& flags, bool given) {
  const Tokenizer tokenizer = Tokenizer::load(flags.model);
  const std::string text = input(flags, given);
  const auto ids = flags.control ? tokenizer.encode_with_specials(text) : tokenizer.encode(text);
  if (flags.json) {
    put_out(dump_json({{"ids", ids}, {"tokens", ids.size()}, {"bytes", text.size()}}) + "\n");
  } else if (flags.pieces) {
    for (const std::int32_t id : ids) {
      put_out(fmt::format("{:>8}  {}\n", id, quoted(tokenizer.token_bytes(id))));
    }
  } else {
    put_out(fmt::format("{}\n", fmt::join(ids, " ")));
  }
}

void decode(const TokenizerFlags& flags) {
  const Tokenizer tokenizer = Tokenizer::load(flags.model);
  std::string list = fmt::format("{}", fmt::join(flags.ids, " "));
  if (flags.ids.empty()) list = input(flags, false);
  const std::string text = tokenizer.decode(parse_ids(list), flags.skip_control);
  put_out(flags.json ? dump_json({{"text", to_utf8_lossy(text)}}) + "\n" : text);
}

void info(const TokenizerFlags& flags) {
  const Json json = tokenizer_info(Tokenizer::load(flags.model));
  put_out(flags.json ? dump_json(json) + "\n" : info_table(json));
}

CLI::App* add_part(CLI::App& verb, TokenizerFlags& flags, const char* name, const char* what) {
  CLI::App* part = verb.add_subcommand(name, what);
  part->add_option("-m,--model", flags.model, "Tokenizer: a tokenizer.json, or a folder with one")
      ->required();
  part->add_flag("--json", flags.json, "Print one JSON object");
  return part;
}

}  // namespace

void add_tokenizer(CLI::App& app) {
  auto flags = std::make_shared<TokenizerFlags>();
  CLI::App* verb = app.add_subcommand("tokenizer", "Train, look at and use tokenizers");
  verb->require_subcommand(1);

  CLI::App* part = verb->add_subcommand("train", "Train a byte-level BPE tokenizer on texts");
  part->add_option("data", flags->data, "Files, folders or globs")->required();
  part->add_option("-o,--out", flags->out, "Folder, or tokenizer.json, to write")->required();
  part->add_option("--vocab-size", flags->vocab_size, "Tokens, control tokens and bytes included")
      ->capture_default_str();
  part->add_option("--pattern", flags->pattern, "How text is cut: gpt2, cl100k, llama3 or qwen2")
      ->capture_default_str();
  part->add_option("--memory", flags->memory, "Ceiling of memory, as in 500MB or 2GB")
      ->transform(CLI::AsSizeValue(false))
      ->default_str("1GB");
  part->add_flag("--json", flags->json, "Print one JSON object");
  part->callback([flags] { train(*flags); });

  part = add_part(*verb, *flags, "encode", "Token ids of a text");
  auto* text = part->add_option("-p,--prompt", flags->text, "The text (default: standard input)");
  part->add_option("-f,--file", flags->file, "Read the text from a file; -: standard input")
      ->excludes(text);
  part->add_flag("--control", flags->control, "Recognise control tokens such as <|im_end|>");
  part->add_flag("--pieces", flags->pieces, "One token a line, with its text");
  part->callback([flags, text] { encode(*flags, text->count() > 0); });

  part = add_part(*verb, *flags, "decode", "Text of token ids");
  part->add_option("ids", flags->ids, "Token ids (default: from standard input)");
  part->add_flag("--skip-control", flags->skip_control, "Leave control tokens out");
  part->callback([flags] { decode(*flags); });

  part = add_part(*verb, *flags, "info", "What a tokenizer is");
  part->callback([flags] { info(*flags); });
}

}  // namespace stepstone::cli
