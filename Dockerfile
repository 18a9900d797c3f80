# The locked environment of Tunesmith. Build:  docker build -t tunesmith .
# With CUDA:  docker build -t tunesmith --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128 .
# Run:  docker run --rm -v "$PWD:/work" tunesmith run triage.yaml
ARG PYTHON=3.11
FROM python:${PYTHON}-slim AS build

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG EXTRAS=ray

WORKDIR /build
RUN python -m venv /opt/tunesmith
ENV PATH=/opt/tunesmith/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY constraints.txt pyproject.toml README.md LICENSE ./
# Torch first, and from its own index: PyPI's build brings gigabytes of CUDA, wanted or not.
RUN pip install -c constraints.txt --index-url ${TORCH_INDEX} --extra-index-url https://pypi.org/simple torch
COPY src ./src
RUN pip install -c constraints.txt ".[${EXTRAS}]"

FROM python:${PYTHON}-slim

# Trainings on the CPU compile their kernels on first use.
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/tunesmith /opt/tunesmith
RUN useradd --create-home --uid 1000 tunesmith && mkdir /work && chown tunesmith /work
USER tunesmith
WORKDIR /work
ENV PATH=/opt/tunesmith/bin:$PATH PYTHONUNBUFFERED=1 TOKENIZERS_PARALLELISM=false
ENTRYPOINT ["tunesmith"]
CMD ["--help"]
