// The reader of json.h.
#include "json.h"

#include <unordered_set>

namespace t2 {

namespace {
bool digit(char c) { return c >= '0' && c <= '9'; }

void append_utf8(std::string& s, unsigned c) {
  if (c < 0x80) {
    s += char(c);
  } else if (c < 0x800) {
    s += {char(0xc0 | c >> 6), char(0x80 | (c & 63))};
  } else if (c < 0x10000) {
    s += {char(0xe0 | c >> 12), char(0x80 | (c >> 6 & 63)), char(0x80 | (c & 63))};
  } else {
    s += {char(0xf0 | c >> 18), char(0x80 | (c >> 12 & 63)), char(0x80 | (c >> 6 & 63)), char(0x80 | (c & 63))};
  }
}
}  // namespace

void json_reader::blanks() {
  while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t')) at_++;
}

char json_reader::peek() {
  blanks();
  return at_ < text_.size() ? text_[at_] : '\0';
}

void json_reader::expect(char c) {
  if (peek() != c || at_ == text_.size()) fail(std::string("expected '") + c + "'");
  at_++;
}

void json_reader::enter(char open) {
  expect(open);
  if (depth_ == max_depth) fail("nested too deeply");
  first_[++depth_] = true;
}

bool json_reader::next(char close) {
  if (peek() == close && at_ < text_.size()) {
    at_++;
    depth_--;
    return false;
  }
  if (!first_[depth_]) expect(',');
  first_[depth_] = false;
  return true;
}

void json_reader::begin_object() { enter('{'); }
void json_reader::begin_array() { enter('['); }
bool json_reader::next_element() { return next(']'); }

bool json_reader::next_member(std::string& key) {
  if (!next('}')) return false;
  key = string();
  expect(':');
  return true;
}

unsigned json_reader::hex4() {
  unsigned v = 0;
  for (int i = 0; i < 4; i++, at_++) {
    char c = at_ < text_.size() ? text_[at_] : '\0';
    int d = digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (d < 0) fail("malformed \\u escape");
    v = v * 16 + unsigned(d);
  }
  return v;
}

std::string json_reader::string() {
  expect('"');
  std::string s;
  for (;;) {
    if (at_ == text_.size()) fail("string without an end");
    char c = text_[at_++];
    if (c == '"') return s;
    if (static_cast<unsigned char>(c) < 0x20) fail("control character in a string");
    if (c != '\\') {
      s += c;
      continue;
    }
    char e = at_ < text_.size() ? text_[at_++] : '\0';
    switch (e) {
      case '"':
      case '\\':
      case '/':
        s += e;
        break;
      case 'b':
        s += '\b';
        break;
      case 'f':
        s += '\f';
        break;
      case 'n':
        s += '\n';
        break;
      case 'r':
        s += '\r';
        break;
      case 't':
        s += '\t';
        break;
      case 'u': {
        unsigned v = hex4();
        if (v >= 0xdc00 && v < 0xe000) fail("lone surrogate");
        if (v >= 0xd800 && v < 0xdc00) {
          if (text_.substr(at_, 2) != "\\u") fail("lone surrogate");
          at_ += 2;
          unsigned low = hex4();
          if (low < 0xdc00 || low > 0xdfff) fail("lone surrogate");
          v = 0x10000 + ((v - 0xd800) << 10) + (low - 0xdc00);
        }
        append_utf8(s, v);
        break;
      }
      default:
        fail("unknown escape");
    }
  }
}

void json_reader::number() {
  auto at = [&] { return at_ < text_.size() ? text_[at_] : '\0'; };
  auto digits = [&] {
    if (!digit(at())) fail("malformed number");
    while (digit(at())) at_++;
  };
  if (at() == '-') at_++;
  if (at() == '0') {
    at_++;
  } else {
    digits();
  }
  if (at() == '.') at_++, digits();
  if (at() == 'e' || at() == 'E') {
    at_++;
    if (at() == '+' || at() == '-') at_++;
    digits();
  }
}

int64_t json_reader::integer() {
  peek();
  size_t from = at_;
  number();
  bool negative = text_[from] == '-';
  int64_t v = 0;
  for (size_t i = from + negative; i < at_; i++) {
    if (!digit(text_[i])) fail("expected an integer");
    if (__builtin_mul_overflow(v, 10, &v) || __builtin_sub_overflow(v, text_[i] - '0', &v)) fail("integer too large");
  }
  if (!negative && __builtin_sub_overflow(int64_t(0), v, &v)) fail("integer too large");
  return v;
}

void json_reader::word(std::string_view w) {
  if (text_.substr(at_, w.size()) != w) fail("expected a value");
  at_ += w.size();
}

void json_reader::skip() {
  switch (peek()) {
    case '{': {
      std::unordered_set<std::string> seen;
      std::string key;
      begin_object();
      while (next_member(key)) {
        if (!seen.insert(key).second) fail("repeated key " + json_quote(key));
        skip();
      }
      break;
    }
    case '[':
      begin_array();
      while (next_element()) skip();
      break;
    case '"':
      string();
      break;
    case 't':
      word("true");
      break;
    case 'f':
      word("false");
      break;
    case 'n':
      word("null");
      break;
    default:
      number();
  }
}

void json_reader::end() {
  blanks();
  if (at_ != text_.size()) fail("text after the end");
}

std::string json_quote(std::string_view s) {
  static const char* hex = "0123456789abcdef";
  std::string q = "\"";
  for (char c : s) {
    if (c == '"' || c == '\\') {
      q += '\\';
      q += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      q += "\\u00";
      q += hex[c >> 4];
      q += hex[c & 15];
    } else {
      q += c;
    }
  }
  return q + '"';
}

}  // namespace t2
