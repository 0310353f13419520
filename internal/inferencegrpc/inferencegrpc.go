// Package inferencegrpc answers one question: how does a client that speaks the Open
// Inference Protocol over gRPC reach a box, which speaks it over HTTP?
//
// It stands with the relying party, in front of the attested channel, so that no gRPC
// is linked into the box. Each call becomes one request, and tensors stay bytes on
// both sides. Calls come from programs on the same machine; answers come from a box
// that was verified, and are bounded and checked all the same.
//
// Source: Open Inference Protocol (kserve/open-inference-protocol), gRPC and REST, and
// Triton's extensions for repositories, streams and binary tensors.
package inferencegrpc

import (
	"context"
	"errors"
	"io"
	"net/http"

	"connectrpc.com/connect"

	pb "github.com/blindbox/blindbox/internal/inferencegrpc/inferencepb"
	"github.com/blindbox/blindbox/internal/inferencegrpc/inferencepb/inferencepbconnect"
)

//go:generate protoc --go_out=inferencepb --go_opt=paths=source_relative --connect-go_out=inferencepb --connect-go_opt=paths=source_relative,simple -I inferencepb inference.proto

// Prefix begins the path of every call.
const Prefix = "/" + inferencepbconnect.GRPCInferenceServiceName + "/"

// maxMessage bounds a message in bytes, in both directions. A box has smaller limits.
const maxMessage = 1 << 30

// New returns what answers calls by requests to a box. do sends one, whose URL is a
// path alone.
func New(do func(*http.Request) (*http.Response, error)) http.Handler {
	_, h := inferencepbconnect.NewGRPCInferenceServiceHandler(&service{box{do}}, connect.WithReadMaxBytes(maxMessage))
	return h
}

// service answers calls.
type service struct{ box box }

func (s *service) ServerLive(ctx context.Context, _ *pb.ServerLiveRequest) (*pb.ServerLiveResponse, error) {
	var a struct{ Live bool }
	err := s.box.get(ctx, "/v2/health/live", &a)
	return &pb.ServerLiveResponse{Live: a.Live}, err
}

func (s *service) ServerReady(ctx context.Context, _ *pb.ServerReadyRequest) (*pb.ServerReadyResponse, error) {
	var a struct{ Ready bool }
	err := s.box.get(ctx, "/v2/health/ready", &a)
	return &pb.ServerReadyResponse{Ready: a.Ready}, err
}

// ModelReady is false for a model that is not there, as with the protocol's servers.
func (s *service) ModelReady(ctx context.Context, q *pb.ModelReadyRequest) (*pb.ModelReadyResponse, error) {
	path, err := modelPath(q.Name, q.Version, "ready")
	if err != nil {
		return nil, err
	}
	var a struct{ Ready bool }
	if err = s.box.get(ctx, path, &a); connect.CodeOf(err) == connect.CodeNotFound {
		err = nil
	}
	return &pb.ModelReadyResponse{Ready: a.Ready}, err
}

func (s *service) ServerMetadata(ctx context.Context, _ *pb.ServerMetadataRequest) (*pb.ServerMetadataResponse, error) {
	a := &pb.ServerMetadataResponse{}
	return a, s.box.get(ctx, "/v2", a)
}

func (s *service) ModelMetadata(ctx context.Context, q *pb.ModelMetadataRequest) (*pb.ModelMetadataResponse, error) {
	path, err := modelPath(q.Name, q.Version, "")
	if err != nil {
		return nil, err
	}
	a := &pb.ModelMetadataResponse{}
	return a, s.box.get(ctx, path, a)
}

func (s *service) ModelInfer(ctx context.Context, q *pb.ModelInferRequest) (*pb.ModelInferResponse, error) {
	path, err := modelPath(q.ModelName, q.ModelVersion, "infer")
	if err != nil {
		return nil, err
	}
	head, tensors, err := encode(q)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	return s.box.infer(ctx, path, head, tensors)
}

// ModelStreamInfer answers the requests of a stream one after the other. What is wrong
// with one of them is told in its place, and the stream goes on.
func (s *service) ModelStreamInfer(ctx context.Context, stream *connect.BidiStream[pb.ModelInferRequest, pb.ModelStreamInferResponse]) error {
	for {
		q, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		out := &pb.ModelStreamInferResponse{}
		if out.InferResponse, err = s.ModelInfer(ctx, q); err != nil {
			var known *connect.Error
			if out.ErrorMessage = err.Error(); errors.As(err, &known) {
				out.ErrorMessage = known.Message()
			}
		}
		if err := stream.Send(out); err != nil {
			return err
		}
	}
}

func (s *service) RepositoryIndex(ctx context.Context, q *pb.RepositoryIndexRequest) (*pb.RepositoryIndexResponse, error) {
	if err := onlyRepository(q.RepositoryName); err != nil {
		return nil, err
	}
	all := &pb.RepositoryIndexResponse{}
	if err := s.box.get(ctx, "/v2/models", all); err != nil {
		return nil, err
	}
	if !q.Ready {
		return all, nil
	}
	ready := &pb.RepositoryIndexResponse{}
	for _, m := range all.Models {
		if m.State == "READY" {
			ready.Models = append(ready.Models, m)
		}
	}
	return ready, nil
}

func (s *service) RepositoryModelLoad(ctx context.Context, q *pb.RepositoryModelLoadRequest) (*pb.RepositoryModelLoadResponse, error) {
	if len(q.Parameters) > 0 {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("parameters of a load are not supported: upload the model first, with `blindbox model push`"))
	}
	return &pb.RepositoryModelLoadResponse{}, s.change(ctx, q.RepositoryName, q.ModelName, "load")
}

func (s *service) RepositoryModelUnload(ctx context.Context, q *pb.RepositoryModelUnloadRequest) (*pb.RepositoryModelUnloadResponse, error) {
	return &pb.RepositoryModelUnloadResponse{}, s.change(ctx, q.RepositoryName, q.ModelName, "unload")
}

// change loads or unloads a model.
func (s *service) change(ctx context.Context, repository, model, what string) error {
	if err := onlyRepository(repository); err != nil {
		return err
	}
	name, err := segment("model", model)
	if err != nil {
		return err
	}
	return s.box.post(ctx, "/v2/repository/models/"+name+"/"+what)
}

func onlyRepository(name string) error {
	if name == "" {
		return nil
	}
	return connect.NewError(connect.CodeInvalidArgument, errors.New("a box has one repository, without a name"))
}
