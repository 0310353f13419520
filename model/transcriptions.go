package model

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/blindbox/blindbox/model/pipeline/sound"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// transcriptionRequest is what a form asks for, but for its model.
type transcriptionRequest struct {
	recording string
	format    string
	language  string
}

// readTranscription reads the parts of a form that [named] has read before. Fields that
// would change the answer and cannot are refused; language and prompt are hints, which
// none of these models takes.
func readTranscription(parts []formPart) (*transcriptionRequest, error) {
	q := &transcriptionRequest{format: "json"}
	seen := map[string]bool{}
	for _, p := range parts {
		if seen[p.name] && !strings.HasSuffix(p.name, "[]") { // those are lists
			return nil, wrong(shortened(p.name), "the field %.40q is there twice", p.name)
		}
		seen[p.name] = true
		if p.file != (p.name == "file") {
			return nil, wrong(shortened(p.name), "the field %.40q is a file or none, and has to be the other", p.name)
		}
		if err := q.field(p.name, p.content); err != nil {
			return nil, err
		}
	}
	if !seen["file"] {
		return nil, wrong("file", "there is no file, expected a recording: WAV")
	}
	return q, nil
}

func shortened(name string) string { return name[:min(len(name), 40)] }

func (q *transcriptionRequest) field(name string, content []byte) error {
	if name == "file" {
		q.recording = string(content)
		if !isWAV(q.recording) {
			return wrong(name, "the file is no WAV, which is all that this box reads: ffmpeg -i RECORDING -ac 1 recording.wav makes one")
		}
		return nil
	}
	text := string(content)
	only := func(why string, allowed ...string) error {
		if slices.Contains(allowed, text) {
			return nil
		}
		return wrong(shortened(name), "%s is %.40q, expected %s%s", name, text, strings.Join(allowed, " or "), why)
	}
	switch name {
	case "model", "prompt":
		return nil
	case "language":
		const longest = 64
		if len(text) > longest || !utf8.ValidString(text) {
			return wrong(name, "language of %d bytes, expected a code of up to %d such as en", len(text), longest)
		}
		q.language = text
		return nil
	case "response_format":
		q.format = text
		return only("", "json", "text", "verbose_json", "srt", "vtt")
	case "timestamp_granularities[]":
		return only(": there are times of segments, and not of words", "segment")
	case "temperature":
		return only(": the best token is taken each time, and nothing is drawn by chance", "0", "0.0")
	case "stream":
		return only(": the text is answered when all of it is there", "false", "False")
	}
	if why := unheard(name); why != "" {
		return wrong(shortened(name), "%.40s is not supported: %s; leave it out", name, why)
	}
	return wrong(shortened(name), "unknown field %.40q, expected file, model, language, prompt, response_format, timestamp_granularities[], temperature or stream", name)
}

// unheard says why a field of OpenAI's API would change the answer and cannot; "" is a
// field that the API does not have. Lists end in [], and members of an object stand in
// brackets.
func unheard(field string) string {
	name, _, _ := strings.Cut(field, "[")
	return map[string]string{
		"include":                  "the models do not say how sure they are of each token",
		"chunking_strategy":        "a recording of any length is heard in windows of the model's",
		"known_speaker_names":      "the models do not say who speaks",
		"known_speaker_references": "the models do not say who speaks",
		"keywords":                 "the models are not told what may be said",
		"languages":                "there is one language, in the model's pipeline.yaml or as the model hears it",
	}[name]
}

// isWAV reports whether a file is RIFF, or RF64, which is RIFF of more than 4 GiB, with
// sound in it.
func isWAV(file string) bool {
	return len(file) > 12 && (file[:4] == "RIFF" || file[:4] == "RF64") && file[8:12] == "WAVE"
}

// transcription answers POST /v1/audio/transcriptions.
func (s *Server) transcription(ctx context.Context, a *question) (reply, error) {
	if err := a.model.makes("audio", "text", tensor.String, 1, "text of recordings"); err != nil {
		return reply{}, err
	}
	parts, err := readForm(a.header, a.body)
	if err != nil {
		return reply{}, fail(http.StatusBadRequest, "%v", err)
	}
	q, err := readTranscription(parts)
	if err != nil {
		return reply{}, err
	}
	if q.timed() && !a.model.says(segmentOutput) {
		return reply{}, wrong("response_format", "%s tells when something was said, which %s does not say: expected json, text or verbose_json", q.format, a.model.name)
	}
	return s.ask(ctx, a, "audio", []string{q.recording}, func(out map[string]*tensor.Tensor) (reply, error) {
		said := tensor.Data[string](out["text"])
		if len(said) != 1 || !utf8.ValidString(said[0]) {
			return reply{}, fail(http.StatusUnprocessableEntity, "the model gave no text")
		}
		segments, err := segmentsOf(out)
		if err != nil {
			return reply{}, err
		}
		if t := out["language"]; t != nil && t.Type == tensor.String && t.Len() == 1 && q.language == "" {
			q.language = tensor.Data[string](t)[0]
		}
		body, err := q.answer(said[0], segments)
		if err == nil && int64(len(body.body)) > s.config.answer {
			err = tooLong(s.config.answer)
		}
		return body, err
	})
}

// timed says whether a caller asks for nothing but what was said when.
func (q *transcriptionRequest) timed() bool { return q.format == "srt" || q.format == "vtt" }

// longestRecording is more than the model has heard: its pipeline has bounds of its own.
const longestRecording = 1000 * time.Hour

// answer writes what was said, and when, if the model says that.
func (q *transcriptionRequest) answer(text string, segments []segment) (reply, error) {
	plain := func(text string) (reply, error) {
		return reply{body: []byte(text), contentType: "text/plain; charset=utf-8"}, nil
	}
	switch q.format {
	case "text":
		return plain(text + "\n")
	case "srt":
		return plain(srt(segments))
	case "vtt":
		return plain(vtt(segments))
	case "verbose_json":
		return q.verbose(text, segments)
	}
	body, err := json.Marshal(struct {
		Text string `json:"text"`
	}{text})
	return reply{body: body}, err
}

// verbose writes all that is known.
func (q *transcriptionRequest) verbose(text string, segments []segment) (reply, error) {
	r, err := sound.Open(q.recording, longestRecording)
	if err != nil {
		return reply{}, wrong("file", "the file: %v", err)
	}
	body, err := json.Marshal(struct {
		Task     string    `json:"task"`
		Language string    `json:"language"`
		Duration float64   `json:"duration"`
		Text     string    `json:"text"`
		Segments []segment `json:"segments,omitzero"`
	}{"transcribe", q.language, r.Duration().Seconds(), text, segments})
	return reply{body: body}, err
}
