package model

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
)

const transcriptions = "/v1/audio/transcriptions"

func TestTranscriptions(t *testing.T) {
	s := openAIServer(t)
	for _, c := range []struct {
		fields []string
		status int
		want   string
	}{
		{[]string{"model", "heard", "file", "@" + riff}, 200, `{"text":"RIFF\u0000\u0000\u0000\u0000WAVEhello"}`},
		{[]string{"file", "@" + riff, "model", "heard", "response_format", "json", "language", "en", "prompt", "p", "temperature", "0", "stream", "false"}, 200, `hello"}`},
		{[]string{"file", "@" + riff, "model", "heard", "response_format", "text"}, 200, "WAVEhello\n"},
		{[]string{"model", "none", "file", "@" + riff}, 404, `no model "none"`},
		{[]string{"model", "vectors", "file", "@" + riff}, 400, "does not make text of recordings"},
		{[]string{"model", "tumour", "file", "@" + riff}, 400, "does not make text of recordings"},
		{[]string{"model", "heard"}, 400, "there is no file"},
		{[]string{"model", "heard", "file", riff}, 400, `the field "file" is a file or none`},
		{[]string{"model", "heard", "file", "@" + riff, "language", "@en"}, 400, `the field "language" is a file or none`},
		{[]string{"model", "heard", "file", "@" + riff, "file", "@" + riff}, 400, `"file" is there twice`},
		{[]string{"model", "heard", "file", "@ID3\x03 an MP3 of a song"}, 400, "ffmpeg"},
		{[]string{"model", "heard", "file", "@RIFF\x00\x00\x00\x00AVI hello"}, 400, "no WAV"},
		{[]string{"model", "heard", "file", "@RIFF"}, 400, "no WAV"},
		{[]string{"model", "heard", "file", "@" + riff + "\xff"}, 422, "no text"},
		{[]string{"model", "heard", "file", "@" + riff, "response_format", "srt"}, 400, "srt tells when something was said, which heard does not say: expected json, text or verbose_json"},
		{[]string{"model", "heard", "file", "@" + riff, "response_format", "vtt"}, 400, "vtt tells when"},
		{[]string{"model", "heard", "file", "@" + riff, "response_format", "ass"}, 400, "expected json or text or verbose_json or srt or vtt"},
		{[]string{"model", "heard", "file", "@" + riff, "timestamp_granularities[]", "word"}, 400, "expected segment"},
		{[]string{"model", "heard", "file", "@" + riff, "timestamp_granularities[]", "segment"}, 200, `hello"}`},
		{[]string{"model", "heard", "file", "@" + riff, "temperature", "0.7"}, 400, "temperature is"},
		{[]string{"model", "heard", "file", "@" + riff, "language", strings.Repeat("e", 65)}, 400, "language of 65 bytes, expected a code of up to 64"},
		{[]string{"model", "heard", "file", "@" + riff, "language", "\xff"}, 400, "language of 1 bytes"},
		{[]string{"model", "heard", "file", "@" + riff, "stream", "true"}, 400, "stream is"},
		{[]string{"model", "heard", "file", "@" + riff, "timestamp_granularities[]", "segment", "timestamp_granularities[]", "word"}, 400, "segment: there are times of segments, and not of words"},
		{[]string{"model", "heard", "file", "@" + riff, "timestamp_granularities[]", "segment", "timestamp_granularities[]", "segment"}, 200, `hello"}`},
		{[]string{"model", "heard", "file", "@" + riff, "response_format", "diarized_json"}, 400, "expected json or"},
		{[]string{"model", "heard", "file", "@" + riff, "include[]", "logprobs"}, 400, "include[] is not supported: the models do not say how sure"},
		{[]string{"model", "heard", "file", "@" + riff, "chunking_strategy", "auto"}, 400, "chunking_strategy is not supported"},
		{[]string{"model", "heard", "file", "@" + riff, "chunking_strategy[type]", "server_vad"}, 400, "chunking_strategy[type] is not supported: a recording of any length"},
		{[]string{"model", "heard", "file", "@" + riff, "known_speaker_names[]", "agent"}, 400, "who speaks; leave it out"},
		{[]string{"model", "heard", "file", "@" + riff, "known_speaker_references[]", "data:"}, 400, "who speaks; leave it out"},
		{[]string{"model", "heard", "file", "@" + riff, "keywords[]", "clinic"}, 400, "keywords[] is not supported"},
		{[]string{"model", "heard", "file", "@" + riff, "languages[]", "en"}, 400, "languages[] is not supported"},
		{[]string{"model", "heard", "file", "@" + riff, "granularities", "word"}, 400, "unknown field"},
	} {
		body, typ := multipartOf(t, c.fields...)
		w := decide(t, s, "clinic", transcriptions, body, "Content-Type", typ)
		if c.status == 200 {
			if w.Code != 200 || !strings.HasSuffix(w.Body.String(), c.want) || strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") == strings.HasPrefix(w.Body.String(), "{") {
				t.Errorf("%q: %d %v %s", c.fields, w.Code, w.Header(), w.Body)
			}
			continue
		}
		if want(t, w, c.status, c.want); !strings.HasPrefix(w.Body.String(), `{"error":{"message":`) {
			t.Errorf("%q: %s", c.fields, w.Body)
		}
	}
	// A second of silence: 8,000 samples of 8 bits.
	wav := "RIFF\x64\x1f\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x40\x1f\x00\x00\x01\x00\x08\x00data\x40\x1f\x00\x00" + strings.Repeat("\x00", 8000)
	body, typ := multipartOf(t, "model", "heard", "file", "@"+wav, "response_format", "verbose_json", "language", "de")
	want(t, decide(t, s, "", transcriptions, body, "Content-Type", typ), 200, `{"task":"transcribe","language":"de","duration":1,"text":"RIFF`)
	body, typ = multipartOf(t, "model", "heard", "file", "@"+riff, "response_format", "verbose_json")
	want(t, decide(t, s, "", transcriptions, body, "Content-Type", typ), 400, "the file: ")
	body, typ = multipartOf(t, "model", "heard", "file", "@"+riff)
	want(t, decide(t, openAIServer(t, WithAnswerLimit(8)), "", transcriptions, body, "Content-Type", typ), 400, "the answer is larger")
}

// formed is a form that is written out: "|" is the boundary, and lines end in CR LF.
func formed(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "|", "--B"), "\n", "\r\n")
}

// goodForm is one that is taken.
const goodForm = "|\nContent-Disposition: form-data; name=\"model\"\n\nheard\n|\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\nContent-Type: audio/wav\n\n" + riff + "\n|--\n"

// TestModelInForm: whatever a form could be read as, it names one model or none.
func TestModelInForm(t *testing.T) {
	s := openAIServer(t)
	const boundary = "multipart/form-data; boundary=B"
	field := func(head string) string {
		return strings.Replace(goodForm, `Content-Disposition: form-data; name="model"`, head, 1)
	}
	second := func(head string) string {
		return strings.Replace(goodForm, "|--", "|\n"+head+"\n\nvectors\n|--", 1)
	}
	for _, c := range []struct{ form, typ, want string }{
		{goodForm, boundary, ""},
		{strings.TrimSuffix(goodForm, "\n"), boundary, ""},
		{goodForm + "\n", `Multipart/Form-Data; charset=utf-8; boundary="B"`, ""},
		{field("content-disposition:  form-data;name=model"), boundary, ""},
		{field(`Content-Disposition: form-data; name*=utf-8''model`), boundary, ""},
		// Two of them, or one that some readers see.
		{second(`Content-Disposition: form-data; name="model"`), boundary, `"model" 2 times`},
		{second(`Content-Disposition: form-data; name="model"; filename="m"`), boundary, `"model" is sent as a file`},
		{field(`Content-Disposition: form-data; name="model"; filename=""`), boundary, `"model" is sent as a file`},
		{field(`Content-Disposition: form-data; name="model"; filename*=utf-8''m`), boundary, `"model" is sent as a file`},
		{field(`Content-Disposition: form-data; name="model"; name="user"`), boundary, "has no name"},
		{field(`Content-Disposition: form-data; name="model"; name*=utf-8''user`), boundary, `"model" 0 times`},
		{field("Content-Disposition: form-data; name=\"user\"\nContent-Disposition: form-data; name=\"model\""), boundary, "not one Content-Disposition"},
		{field("Content-Disposition: form-data; name=\"model\"\nContent-Transfer-Encoding: base64"), boundary, "not one Content-Disposition"},
		{field(`Content-Disposition: form-data; name="Model"`), boundary, `"model" 0 times`},
		{field(`Content-Disposition: form-data; name="mod\el"`), boundary, `"model" 0 times`},
		{field(`Content-Disposition: form-data; name="model "`), boundary, `"model" 0 times`},
		{field(`Content-Disposition: form-data; name="model[]"`), boundary, `"model" 0 times`},
		{field(`Content-Disposition: attachment; name="model"`), boundary, "has no name"},
		{field(`Content-Disposition: form-data`), boundary, "has no name"},
		{field(`Content-Disposition : form-data; name="model"`), boundary, "not one Content-Disposition"},
		{field(`no header`), boundary, "cannot be read"},
		{field(`X: y`), boundary, "not one Content-Disposition"},
		{field("X: " + strings.Repeat("y", 5000) + "\nContent-Disposition: form-data; name=\"model\""), boundary, "no header of up to"},
		{strings.Replace(goodForm, "heard", "heard\x00", 1), boundary, "called otherwise"},
		{strings.Replace(goodForm, "heard", "heard\nvectors", 1), boundary, "called otherwise"},
		{strings.Replace(goodForm, "heard", "", 1), boundary, "called otherwise"},
		// What is before, behind and between the parts.
		{"preamble\n" + goodForm, boundary, "does not begin with the boundary"},
		{strings.Repeat("x", 1<<20) + "\n" + goodForm, boundary, "does not begin with the boundary"},
		{"\n" + goodForm, boundary, "does not begin with the boundary"},
		{goodForm + second(`Content-Disposition: form-data; name="model"`), boundary, "something follows"},
		{goodForm + "epilogue", boundary, "something follows"},
		{strings.Replace(goodForm, "heard\n|", "heard\n| ", 1), boundary, "not followed by a line's end"},
		{strings.Replace(goodForm, "heard\n|", "heard\n|C\nX: y\n\n\n|", 1), boundary, "not followed by a line's end"},
		{strings.Replace(goodForm, "|--", "|", 1), boundary, "ends within a part"},
		{strings.Replace(goodForm, "|--", "", 1), boundary, "ends within a part"},
		{"|", boundary, "not followed by a line's end"},
		{"", boundary, "does not begin"},
		{"|--", boundary, `"model" 0 times`},
		{strings.Repeat("|\nContent-Disposition: form-data; name=x\n\n\n", 33) + "|--", boundary, "more than 32 parts"},
		{goodForm, "multipart/form-data", "no boundary"},
		{goodForm, "multipart/form-data; boundary=C", "does not begin with the boundary"},
		{goodForm, "multipart/form-data; boundary=\"\"", "no boundary"},
		{goodForm, "multipart/form-data; boundary=\"B \"", "no boundary"},
		{goodForm, "multipart/form-data; boundary=" + strings.Repeat("B", 71), "no boundary"},
		{goodForm, "multipart/form-data; boundary=B; boundary=C", "not one Content-Type"},
		{goodForm, "multipart/mixed; boundary=B", "another type"},
		{goodForm, "application/x-www-form-urlencoded", "another type"},
		{"model=heard", "application/x-www-form-urlencoded", "another type"},
		{`{"model":"heard"}`, "application/json", "another type"},
		{goodForm, "", "another type"},
	} {
		var header []string
		if c.typ != "" {
			header = []string{"Content-Type", c.typ}
		}
		w := decide(t, s, "clinic", transcriptions, formed(c.form), header...)
		if c.want == "" {
			want(t, w, 200, "WAVEhello")
			continue
		}
		if want(t, w, 400, c.want); !strings.Contains(w.Body.String(), "ingress: ") {
			t.Errorf("%.200q %q: a model is named", c.form, c.typ)
		}
	}
	header := []string{"Content-Type", boundary, "Content-Encoding", "gzip"}
	want(t, decide(t, s, "", transcriptions, formed(goodForm), header...), 400, "compressed")
}

// TestFormsOfOtherReaders: lines that end otherwise are no form, though other readers
// take them.
func TestFormsOfOtherReaders(t *testing.T) {
	lf := strings.ReplaceAll(goodForm, "|", "--B")
	w := decide(t, openAIServer(t), "", transcriptions, lf, "Content-Type", "multipart/form-data; boundary=B")
	want(t, w, 400, "not followed by a line's end")
}

// FuzzForm: what is taken here, Go's reader takes as well, and for the same.
func FuzzForm(f *testing.F) {
	f.Add(formed(goodForm), "multipart/form-data; boundary=B")
	f.Add(formed(strings.ReplaceAll(goodForm, "Content-Type: audio/wav\n", "")), `multipart/form-data; boundary="B"`)
	f.Add(formed("|--\n"), "multipart/form-data; boundary=B")
	f.Fuzz(func(t *testing.T, body, typ string) {
		parts, err := readForm(http.Header{"Content-Type": {typ}}, []byte(body))
		if err != nil {
			return
		}
		_, given, err := mime.ParseMediaType(typ)
		if err != nil {
			t.Fatal(err)
		}
		r := multipart.NewReader(strings.NewReader(body), given["boundary"])
		for i, p := range parts {
			other, err := r.NextRawPart()
			if err != nil {
				t.Fatalf("part %d of %d: %v", i, len(parts), err)
			}
			content, err := io.ReadAll(other)
			if err != nil || other.FormName() != p.name || !bytes.Equal(content, p.content) {
				t.Fatalf("part %d: %v %q %q, here %q %q", i, err, other.FormName(), content, p.name, p.content)
			}
		}
		if _, err := r.NextRawPart(); !errors.Is(err, io.EOF) {
			t.Fatalf("another part: %v", err)
		}
	})
}
