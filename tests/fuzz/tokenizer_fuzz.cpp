// A tokenizer.json, or a SentencePiece model: what it makes of some text, and back.
#include "core/error.h"
#include "fuzz.h"
#include "tokenizer/sentencepiece.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_json.h"
#include "tokenizer/tokenizer_model.h"

using namespace stepstone;

namespace {

constexpr std::string_view kText =
    "Hello  wörld, <s>12345</s> \xe4\xb8\xad\xe6\x96\x87 \xff\xf0\x9f\x98\x80\n\taaaaaaaaaaaaaaaa";

// One field of protocol buffers with the wire type 2.
std::string field(int number, const std::string& bytes) {
  return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(bytes.size())} + bytes;
}

std::string piece(const std::string& text, char type) {
  return field(1, field(1, text) + std::string("\x15\0\0\x80\xbf\x18", 6) + type);
}

std::string sentencepiece(char model_type) {
  std::string out = piece("<unk>", 2) + piece("<s>", 3) + piece("</s>", 3);
  for (const char* text :
       {"\xe2\x96\x81", "H", "e", "l", "o", "ll", "\xe2\x96\x81H", "w", "a", "aa"}) {
    out += piece(text, 1);
  }
  out += field(2, std::string{0x18, model_type});
  return out + field(3, std::string("\x18\x01\x20\x01\x28\x01", 6));
}

std::string json(std::string_view parts, std::string_view model) {
  return std::string(
             R"({"version":"1.0","added_tokens":[{"id":0,"content":"<s>","special":true}],)") +
         std::string(parts) + R"("model":)" + std::string(model) + "}";
}

}  // namespace

std::vector<std::string> fuzz::seeds() {
  const std::string bpe =
      R"({"type":"BPE","unk_token":"<s>","vocab":{"<s>":0,"H":1,"e":2,"l":3,"ll":4,"He":5},"merges":[["l","l"],"H e"]})";
  return {
      sentencepiece(1),
      sentencepiece(2),
      tokenizer_json(Tokenizer::bytes().model()),
      tokenizer_json(Tokenizer::characters("Hello wörld").model()),
      json(
          R"("normalizer":{"type":"Sequence","normalizers":[{"type":"NFKC"},{"type":"Lowercase"},{"type":"Strip","strip_left":true,"strip_right":true},{"type":"Replace","pattern":{"Regex":" {2,}"},"content":" "}]},"pre_tokenizer":{"type":"Split","pattern":{"Regex":"\\w+|\\s"},"behavior":"Isolated","invert":false},"decoder":{"type":"Fuse"},)",
          bpe),
      json(
          R"("pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":true},"decoder":{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":true},)",
          R"({"type":"Unigram","unk_id":0,"vocab":[["<s>",0],["▁",-1],["H",-2.5],["ello",-3],["a",-4],["aa",-4.5]]})"),
      json(
          R"("normalizer":{"type":"BertNormalizer"},"pre_tokenizer":{"type":"BertPreTokenizer"},"decoder":{"type":"WordPiece"},"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[],"special_tokens":{"<s>":{"id":"<s>","ids":[0],"tokens":["<s>"]}}},)",
          R"({"type":"WordPiece","unk_token":"<s>","continuing_subword_prefix":"##","max_input_chars_per_word":100,"vocab":{"<s>":0,"he":1,"##llo":2,"w":3}})"),
  };
}

std::vector<std::string> fuzz::words() {
  return {"\"merges\":",
          "\"vocab\":",
          "[\"l\",\"l\"]",
          "\"byte_fallback\":true,",
          "\"<0x41>\":7,",
          "\"type\":\"ByteLevel\"",
          "\"type\":\"Digits\",\"individual_digits\":true",
          "\"ignore_merges\":true,",
          "\"end_of_word_suffix\":\"</w>\",",
          "2147483647",
          "-1",
          "null",
          "\"Regex\":\"(a+)+$\"",
          "\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAAA\"",
          "{}",
          "[]",
          "\xe2\x96\x81",
          "\"fuse_unk\":true,",
          "\"unk_token\":null,",
          "\"unk_id\":null,"};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes = fuzz::view(data, size);
  try {
    std::shared_ptr<const TokenizerModel> model;
    if (bytes.starts_with('{')) {
      model = tokenizer_from_json(parse_json(bytes, "fuzz"), "fuzz");
    } else {
      model = read_sentencepiece(fuzz::MemoryFile(bytes).path());
    }
    const Tokenizer tokenizer(model);
    const auto ids = tokenizer.encode(kText);
    (void)tokenizer.decode(ids);
    (void)tokenizer.encode_with_specials(kText);
    StreamDecoder decoder(tokenizer);
    for (const std::int32_t id : ids) (void)decoder.push(id);
  } catch (const Error&) {
  }
  return 0;
}
