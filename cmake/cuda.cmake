# liblorakeet_cuda: the CUDA backend as a module of its own, which the addon opens at run time. It links the CUDA runtime
# statically, so that it loads on a machine without a driver and says why it is of no use there.
#
#   LORAKEET_CUDA            AUTO: build it when nvcc is there; ON: or stop; OFF
#   LORAKEET_CUDA_ARCHS      architectures, in CMake's notation; by default all that releases ship, as far as nvcc knows them
#   LORAKEET_CUDA_SHIM       ON: also build liblorakeet_cuda_host, the same kernels run on the host, for tests only; by
#                            default where the tests are

set(LORAKEET_CUDA_ARCHS "" CACHE STRING "CUDA architectures; empty: all that releases ship")
set(LORAKEET_CUDA_SHIM_DEFAULT OFF)
if(UNIX AND NOT CMAKE_CROSSCOMPILING AND EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/native/cuda/test)
  set(LORAKEET_CUDA_SHIM_DEFAULT ON)
endif()
option(LORAKEET_CUDA_SHIM "Also build the CUDA kernels for the host, for tests" ${LORAKEET_CUDA_SHIM_DEFAULT})

set(LORAKEET_CUDA_HOST_SOURCES
  native/cuda/module.cc native/cuda/pool.cc native/cuda/lane.cc native/cuda/slot_table.cc native/cuda/settings.cc
  native/cuda/plan.cc native/cuda/decoder/adapter.cc native/cuda/decoder/cache.cc native/cuda/decoder/engine.cc
  native/cuda/decoder/lora.cc native/cuda/decoder/model.cc native/cuda/decoder/pass.cc
  native/cuda/decoder/pass_memory.cc native/cuda/decoder/products.cc native/cuda/decoder/steps.cc
  native/cuda/decoder/table.cc native/cuda/decoder/tiles.cc native/decoder/targets.cc native/decoder/weight_rows.cc
  native/decoder/weights.cc native/cpu/crew.cc)

function(lorakeet_cuda_module target)
  set_target_properties(${target} PROPERTIES PREFIX "lib"
    LIBRARY_OUTPUT_DIRECTORY "${LORAKEET_OUTPUT}" RUNTIME_OUTPUT_DIRECTORY "${LORAKEET_OUTPUT}")
  if(WIN32)
    set_target_properties(${target} PROPERTIES SUFFIX ".dll")
  endif()
  target_include_directories(${target} PRIVATE native/include)
  target_link_libraries(${target} PRIVATE Threads::Threads ${CMAKE_DL_LIBS})
  lorakeet_portable(${target})
  if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
    target_link_options(${target} PRIVATE "LINKER:--version-script=${CMAKE_CURRENT_SOURCE_DIR}/native/cuda/exports.map")
    set_target_properties(${target} PROPERTIES LINK_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/native/cuda/exports.map")
  endif()
endfunction()

if(LORAKEET_CUDA_SHIM)
  add_library(lorakeet_cuda_host MODULE ${LORAKEET_CUDA_HOST_SOURCES} native/cuda/device_host.cc
    native/cuda/decoder/blas_host.cc native/cuda/decoder/launch_host.cc)
  target_link_libraries(lorakeet_cuda_host PRIVATE lorakeet_options)
  lorakeet_cuda_module(lorakeet_cuda_host)
endif()

if(LORAKEET_CUDA STREQUAL "OFF")
  return()
endif()
if(CMAKE_CROSSCOMPILING OR APPLE)
  set(LORAKEET_CUDA_MISSING "no CUDA for this target")
else()
  include(CheckLanguage)
  check_language(CUDA)
  if(NOT CMAKE_CUDA_COMPILER)
    set(LORAKEET_CUDA_MISSING "no working nvcc on PATH (CUDACXX names one elsewhere)")
  endif()
endif()
if(LORAKEET_CUDA_MISSING)
  if(LORAKEET_CUDA STREQUAL "ON")
    message(FATAL_ERROR "LORAKEET_CUDA=ON, but ${LORAKEET_CUDA_MISSING}")
  endif()
  message(STATUS "CUDA backend: not built, ${LORAKEET_CUDA_MISSING}")
  return()
endif()

set(CMAKE_CUDA_ARCHITECTURES OFF)  # set below, on our own target, once the compiler's version is known
set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
enable_language(CUDA)

# The last one also carries PTX, from which the driver compiles for GPUs that come later.
if(LORAKEET_CUDA_ARCHS)
  set(LORAKEET_CUDA_TARGETS ${LORAKEET_CUDA_ARCHS})
elseif(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 12.8)
  set(LORAKEET_CUDA_TARGETS 75-real 80-real 86-real 89-real 90-real 100-real 120)
else()
  set(LORAKEET_CUDA_TARGETS 75-real 80-real 86-real 89-real 90)
endif()
message(STATUS "CUDA backend: nvcc ${CMAKE_CUDA_COMPILER_VERSION}, architectures ${LORAKEET_CUDA_TARGETS}")

add_library(lorakeet_cuda MODULE ${LORAKEET_CUDA_HOST_SOURCES} native/cuda/device_cuda.cu
  native/cuda/decoder/blas_cublas.cc native/cuda/decoder/launch_cuda.cu)
set_target_properties(lorakeet_cuda PROPERTIES CUDA_STANDARD 17 CUDA_STANDARD_REQUIRED ON
  CUDA_VISIBILITY_PRESET hidden CUDA_ARCHITECTURES "${LORAKEET_CUDA_TARGETS}")
lorakeet_cuda_module(lorakeet_cuda)
if(NOT MSVC)
  target_compile_options(lorakeet_cuda PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra>)
endif()
