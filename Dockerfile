# An environment with all extras and the versions of the lock.
#
#   docker build -t mtlkit .                    with CUDA, as PyTorch's packages have it; runs without a GPU too
#   docker build -t mtlkit --build-arg TORCH_ARGS="--index-url <the CPU index that pytorch.org names>" .
#                                               without CUDA, a tenth of the download
#   docker run -it --rm -v "$PWD/runs:/mtlkit/runs" mtlkit mtlkit run nddr 4
FROM python:3.12-slim

RUN apt-get update && apt-get install -y --no-install-recommends git make && rm -rf /var/lib/apt/lists/*
# Outside the project's folder, so that a checkout may be mounted over it.
ENV VENV=/opt/venv PATH=/opt/venv/bin:$PATH
WORKDIR /mtlkit

ARG TORCH_ARGS=""
# First, since it is most of the image and changes least.
COPY constraints.txt .
RUN python -m venv $VENV && pip install --no-cache-dir -c constraints.txt torch torchvision $TORCH_ARGS
COPY . .
RUN make $VENV/.installed TORCH_ARGS="$TORCH_ARGS"

CMD ["bash"]
