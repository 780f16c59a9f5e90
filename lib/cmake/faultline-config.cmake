# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# faultline-config.cmake - for find_package(faultline): gives the target
# faultline::faultline, the shared library where there is one, else the static
# one. Names no place: the library lies beside the folder of this file, and a
# copy that was moved or staged works.

include(CMakeFindDependencyMacro)
find_dependency(Threads)

get_filename_component(_faultline_libdir "${CMAKE_CURRENT_LIST_DIR}/../.."
                       ABSOLUTE)
find_library(FAULTLINE_LIBRARY faultline PATHS "${_faultline_libdir}"
             NO_DEFAULT_PATH)
# The library's folder may be one for an architecture.
find_path(FAULTLINE_INCLUDE_DIR faultline.h
          PATHS "${_faultline_libdir}/../include"
                "${_faultline_libdir}/../../include"
          NO_DEFAULT_PATH)
unset(_faultline_libdir)

if(NOT FAULTLINE_LIBRARY OR NOT FAULTLINE_INCLUDE_DIR)
  set(faultline_FOUND FALSE)
  set(faultline_NOT_FOUND_MESSAGE
      "libfaultline or faultline.h is not beside ${CMAKE_CURRENT_LIST_DIR}")
  return()
endif()

if(NOT TARGET faultline::faultline)
  add_library(faultline::faultline UNKNOWN IMPORTED)
  set_target_properties(
    faultline::faultline
    PROPERTIES IMPORTED_LOCATION "${FAULTLINE_LIBRARY}"
               INTERFACE_INCLUDE_DIRECTORIES "${FAULTLINE_INCLUDE_DIR}"
               INTERFACE_LINK_LIBRARIES Threads::Threads)
endif()
mark_as_advanced(FAULTLINE_LIBRARY FAULTLINE_INCLUDE_DIR)
