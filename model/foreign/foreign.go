// Package foreign answers one question: which other kind of file is this, that somebody
// took for a model? A checkpoint of PyTorch, the page that came in place of a download, the
// pointer of Git LFS.
//
// It looks at the first bytes alone. Whoever sends a model looks before a byte is sent, and
// the box before it reads on, so that nobody sends gigabytes for a refusal; what to do
// instead is said. It tells no model from a bad one: what it does not know is left to
// those who read it. No ONNX model is taken for something else: its first byte is a
// field's number and kind in Protobuf (encoding, "Message Structure"), and the formats here
// begin with one that ONNX's ModelProto (onnx/onnx.proto) cannot have there, or hold at a
// fixed place what it cannot hold.
package foreign

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Head is how many bytes of a file Of looks at.
const Head = 512

// Error says that a file is another kind of file.
type Error struct {
	What string // the file seems to be, with an article
	Fix  string // how a model is made of it, or had
}

func (e *Error) Error() string {
	return fmt.Sprintf("it seems to be %s, expected an ONNX model", e.What)
}

// export is how models of Hugging Face's libraries become ONNX.
const export = "Convert it: `optimum-cli export onnx --model FOLDER_OR_NAME OUT` (pip install 'optimum[onnx]') writes OUT/model.onnx; your own module of PyTorch: torch.onnx.export."

// Of returns what a file that begins so is instead of a model, nil if it may be one.
// head is its first [Head] bytes, or all of it.
func Of(head []byte) *Error {
	for _, k := range kinds() {
		if k.is(head) {
			return &Error{k.what, k.fix}
		}
	}
	return nil
}

// kind is a kind of file. The first that fits counts.
type kind struct {
	is        func(head []byte) bool
	what, fix string
}

func kinds() []kind {
	const unpack = "Unpack it, and send the model that is in it."
	const tensorflow = "Convert it: `python -m tf2onnx.convert` (pip install tf2onnx) makes ONNX of models of TensorFlow, Keras and TFLite."
	return []kind{
		{begins("version https://git-lfs.github.com/"), "a pointer of Git LFS, and not the file that it stands for", "Fetch the file: `git lfs pull` in the repository that it is from."},
		{page, "a page (HTML), as a server sends it in place of a file", "Download it again from the address of the file itself (`curl -fL`); it may need an account."},
		{begins("GGUF"), "a model in llama.cpp's format (GGUF)", "There is no way back from GGUF: take the model that it was made of. " + export},
		{safetensors, "weights alone (safetensors), without what is computed with them", export},
		{checkpoint, "a checkpoint of PyTorch", export},
		{at(0, "\x80\x02", "\x80\x03", "\x80\x04", "\x80\x05"), "a pickle of Python, such as an old checkpoint of PyTorch", export},
		{begins("PK\x03\x04"), "a zip archive", unpack + " A checkpoint of PyTorch (.pt) and a model of Keras (.keras) are such archives: these are converted, with optimum-cli or tf2onnx."},
		{begins("\x89HDF\r\n\x1a\n"), "an HDF5 file, as Keras writes them (.h5)", tensorflow},
		{flat("TFL3"), "a model of TensorFlow Lite", tensorflow},
		{flat("ORTM"), "a model in ONNX Runtime's own format (.ort)", "Send the .onnx file that it was made of."},
		{at(0, "\x1f\x8b", "BZh", "\x28\xb5\x2f\xfd", "\xfd7zXZ\x00", "7z\xbc\xaf\x27\x1c"), "compressed", unpack},
		{at(0, "\x89PNG", "\xff\xd8\xff", "RIFF", "%PDF"), "a picture, a recording or a document", "Send the model itself: it is asked about such a file when it is there."},
		{begins("\x93NUMPY"), "an array of NumPy", "Export the model itself: what computes, with its weights."},
		{at(0, "{\"", "{\n", "{\r\n", "{}", "["), "a JSON file", "Files that stand beside a model, such as config.json and tokenizer.json, go with it in a folder with pipeline.yaml. " + export},
		{at(0, "Entry not found", "Not Found", "404: Not Found", "Access to model"), "the error of a download", "Look into it, and download the model again from the address of the file itself (`curl -fL`)."},
		{text, "a text file", "Name the file of the model itself, or the folder with pipeline.yaml and what it names."},
	}
}

func begins(with string) func([]byte) bool { return at(0, with) }

// at finds files that have one of these at a place.
func at(place int, any ...string) func([]byte) bool {
	return func(head []byte) bool {
		for _, s := range any {
			if len(head) >= place && bytes.HasPrefix(head[place:], []byte(s)) {
				return true
			}
		}
		return false
	}
}

// text finds what is all characters of UTF-8 and ends of lines. One that begins as some
// field of ModelProto does is left to those who read it: `(`, `2`, `:`, `B`, `r` and `"`
// are the numbers and kinds of fields, with which a model may go on in characters. A few
// characters may be anything.
func text(head []byte) bool {
	if len(head) < 16 || strings.IndexByte("(2:Br\"", head[0]) >= 0 {
		return false
	}
	for len(head) > 0 {
		r, n := utf8.DecodeRune(head)
		if r == utf8.RuneError && n == 1 {
			return len(head) < utf8.UTFMax && !utf8.FullRune(head) // cut by the end of the head
		}
		if !unicode.IsGraphic(r) && !strings.ContainsRune("\t\r\n", r) {
			return false
		}
		head = head[n:]
	}
	return true
}

// flat finds a FlatBuffer by the name of its format, which is behind the place of its first
// table: a small number, in little endian. An ONNX model may have the name of who has written
// it there, but never two zeros in front of that, for no field has the number 0.
func flat(format string) func([]byte) bool {
	named := at(4, format)
	return func(head []byte) bool { return named(head) && head[2] == 0 && head[3] == 0 }
}

// page finds HTML and XML.
func page(head []byte) bool {
	start := bytes.ToLower(bytes.TrimLeft(head[:min(len(head), 128)], "\xef\xbb\xbf \t\r\n"))
	return bytes.HasPrefix(start, []byte("<!doctype")) || bytes.HasPrefix(start, []byte("<html")) || bytes.HasPrefix(start, []byte("<?xml"))
}

// safetensors finds the length of its header, eight bytes in little endian of which the
// higher ones are zero, with the header itself behind it: an object of JSON.
func safetensors(head []byte) bool {
	const most = 100 << 20 // the format's own bound
	return len(head) > 9 && binary.LittleEndian.Uint64(head) <= most && head[8] == '{' && (head[9] == '"' || head[9] == '}' || head[9] == ' ')
}

// checkpoint finds a zip archive whose first entry is what torch.save writes first: a
// local header of 30 bytes, with the length of the name at 26 (APPNOTE.TXT, 4.3.7).
func checkpoint(head []byte) bool {
	if !begins("PK\x03\x04")(head) || len(head) < 30 {
		return false
	}
	name := head[30:min(len(head), 30+int(binary.LittleEndian.Uint16(head[26:])))]
	return bytes.HasSuffix(name, []byte("/data.pkl"))
}
